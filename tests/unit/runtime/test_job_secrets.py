"""Which Secrets agents may read: those that unfinished jobs need, and no others."""

from typing import Any

from comfyard.kube.kinds import GENERATION_JOB
from comfyard.runtime.cache import Cache
from comfyard.runtime.job_secrets import job_secrets
from tests.builders import meta, ready


def to_bucket(secret: str) -> dict[str, Any]:
    return {"s3": {"bucket": "b", "secretRef": {"name": secret}}}


def cache_of(*jobs: dict[str, Any]) -> Cache:
    cache = Cache([GENERATION_JOB])
    for job in jobs:
        cache.put(GENERATION_JOB, job)
    return cache


def job(name: str, status: dict[str, Any], namespace: str = "studio", **spec: Any) -> dict[str, Any]:
    whole = {"template": {"name": "t"}, "profiles": ["p"], **spec}
    return {"metadata": {**meta(name), "namespace": namespace}, "spec": whole, "status": status}


def complete(**more: Any) -> dict[str, Any]:
    return {"conditions": [{**ready()[0], "type": "Complete"}], **more}


def test_outputs_as_they_were_decided() -> None:
    cache = cache_of(
        job("a", {"output": to_bucket("decided")}, output=to_bucket("ordered")),
        job("b", {}, "other", output=to_bucket("elsewhere")),
        job("c", complete(output=to_bucket("finished"))),
    )
    assert job_secrets(cache, {}, "studio") == {"decided"}


def test_outputs_that_are_decided_in_the_write_of_the_assignment() -> None:
    cache = cache_of(job("a", {}), job("b", {}))
    accepted = {("studio", "a"): {"output": to_bucket("template")}, ("studio", "b"): {"output": {"metadata": "Embed"}}}
    assert job_secrets(cache, accepted, "studio") == {"template"}


def test_inputs_from_a_bucket_and_from_another_jobs_bucket() -> None:
    own = {"parameter": "photo", "s3": {"bucket": "b", "key": "k", "secretRef": {"name": "own"}}}
    others = {"parameter": "mask", "job": {"name": "first", "output": "image"}}
    cache = cache_of(job("first", complete(output=to_bucket("firsts"))), job("second", {}, inputs=[own, others]))
    assert job_secrets(cache, {}, "studio") == {"own", "firsts"}
    gone = cache_of(job("second", {}, inputs=[others]))
    assert job_secrets(gone, {}, "studio") == set()
