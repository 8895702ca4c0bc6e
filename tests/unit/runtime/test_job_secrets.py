"""Which Secrets agents may read: those that unfinished jobs need, and no others."""

from typing import Any

from comfyard.kube.kinds import GENERATION_JOB
from comfyard.runtime.cache import Cache
from comfyard.runtime.job_secrets import secrets_of_jobs, secrets_of_results
from tests.builders import meta, ready


def to_bucket(secret: str) -> dict[str, Any]:
    return {"s3": {"bucket": "b", "secretRef": {"name": secret}}}


def cache_of(*jobs: dict[str, Any]) -> Cache:
    cache = Cache([GENERATION_JOB])
    for job in jobs:
        cache.put(GENERATION_JOB, job)
    return cache


def job(
    name: str, status: dict[str, Any], namespace: str = "studio", version: str = "7", **spec: Any
) -> dict[str, Any]:
    whole = {"template": {"name": "t"}, "profiles": ["p"], **spec}
    metadata = {**meta(name, resourceVersion=version), "namespace": namespace}
    return {"metadata": metadata, "spec": whole, "status": status}


def complete(**more: Any) -> dict[str, Any]:
    return {"conditions": [{**ready()[0], "type": "Complete"}], **more}


def test_outputs_as_they_were_decided() -> None:
    cache = cache_of(
        job("a", {"output": to_bucket("decided")}, output=to_bucket("ordered")),
        job("b", {}, "other", output=to_bucket("elsewhere")),
        job("c", complete(output=to_bucket("finished"))),
    )
    assert secrets_of_jobs(cache, "studio") == {"decided"}


def test_a_secret_is_named_as_long_as_a_job_needs_it() -> None:
    cache = cache_of(job("a", {"output": to_bucket("s")}), job("b", {"output": to_bucket("s")}))
    cache.put(GENERATION_JOB, job("a", complete(output=to_bucket("s")), version="8"))
    assert secrets_of_jobs(cache, "studio") == {"s"}
    cache.remove(GENERATION_JOB, ("studio", "b"))
    assert secrets_of_jobs(cache, "studio") == set()


def test_outputs_that_are_decided_in_the_write_of_the_assignment() -> None:
    assert secrets_of_results({"output": to_bucket("template")}) == {"template"}
    assert secrets_of_results({"output": {"metadata": "Embed"}}) == set()
    assert secrets_of_results({}) == set()


def test_inputs_from_a_bucket_and_from_another_jobs_bucket() -> None:
    own = {"parameter": "photo", "s3": {"bucket": "b", "key": "k", "secretRef": {"name": "own"}}}
    others = {"parameter": "mask", "job": {"name": "first", "output": "image"}}
    cache = cache_of(job("first", complete(output=to_bucket("firsts"))), job("second", {}, inputs=[own, others]))
    assert secrets_of_jobs(cache, "studio") == {"own", "firsts"}
    gone = cache_of(job("second", {}, inputs=[others]))
    assert secrets_of_jobs(gone, "studio") == set()
