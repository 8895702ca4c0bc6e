"""What jobs tell of servers, and which jobs a change concerns."""

from typing import Any

from comfyard.api.attempts import parse_time
from comfyard.controller.pools import Load
from comfyard.kube.kinds import GENERATION_JOB, NAMESPACE, POD
from comfyard.runtime.cache import Cache
from tests.builders import meta, ready

SERVER = ("studio", "s")
BASE, OTHER = "a" * 64, "b" * 64


def at(second: int) -> str:
    return f"2026-01-02T03:04:{second:02}Z"


def job(name: str, version: int = 1, *, profiles: list[str] | None = None, **status: Any) -> dict[str, Any]:
    spec = {"template": {"name": "t"}, "profiles": profiles or ["p"]}
    return {"metadata": meta(name, resourceVersion=str(version)), "spec": spec, "status": status}


def with_models(*digests: str) -> dict[str, Any]:
    models = [{"path": f"checkpoints/{digest[0]}.safetensors", "sha256": digest} for digest in digests]
    return {"receipt": {"template": "sha256:t", "models": models}}


def assigned(second: int, *digests: str) -> dict[str, Any]:
    assignment = {"id": "1", "server": "s", "profile": "p", "time": at(second)}
    return {"assignment": assignment, **with_models(*digests)}


def ended(start: int, end: int, *digests: str, spent: int = 0) -> dict[str, Any]:
    attempt = {"id": "1", "server": "s", "profile": "p", "start": at(start), "end": at(end), "outcome": "Succeeded"}
    conditions = [{**ready()[0], "type": "Complete"}]
    return {"attempts": [attempt], "conditions": conditions, "usage": {"gpuSeconds": spent}, **with_models(*digests)}


def cache() -> Cache:
    return Cache([GENERATION_JOB, POD, NAMESPACE])


def test_a_server_has_the_models_of_the_job_that_was_assigned_last() -> None:
    known = cache()
    known.put(GENERATION_JOB, job("a", **assigned(1, BASE)))
    known.put(GENERATION_JOB, job("b", **assigned(2, BASE)))
    assert known.jobs.load(SERVER) == Load(
        jobs=(("studio", "a"), ("studio", "b")), models=frozenset({BASE}), warm_since=parse_time(at(1))
    )
    known.put(GENERATION_JOB, job("c", **assigned(3, OTHER)))
    known.put(GENERATION_JOB, job("a", 2, **ended(1, 4, BASE)))
    load = known.jobs.load(SERVER)
    assert (load.models, load.warm_since, load.done) == (frozenset({OTHER}), parse_time(at(3)), 1)
    assert load.last_end == parse_time(at(4))


def test_a_job_without_models_leaves_those_that_are_there() -> None:
    known = cache()
    known.put(GENERATION_JOB, job("a", **assigned(1, BASE)))
    known.put(GENERATION_JOB, job("b", **assigned(2)))
    assert known.jobs.load(SERVER).models == {BASE}


def test_after_a_restart_the_last_job_counts_in_whatever_order_they_are_listed() -> None:
    listed = [job("a", **ended(1, 2, BASE)), job("b", **ended(5, 6, OTHER)), job("c", **ended(3, 4, BASE))]
    for order in (listed, listed[::-1]):
        known = cache()
        for each in order:
            known.put(GENERATION_JOB, each)
        load = known.jobs.load(SERVER)
        assert (load.models, load.done, load.last_end) == (frozenset({OTHER}), 3, parse_time(at(6)))


def test_an_attempt_is_counted_once() -> None:
    known = cache()
    known.put(GENERATION_JOB, job("a", **ended(1, 3, BASE, spent=2)))
    known.put(GENERATION_JOB, job("a", 2, **ended(1, 3, BASE, spent=2)))
    assert known.jobs.load(SERVER).done == 1
    assert known.tally.usage.of("studio", parse_time(at(3))) == 2
    known.remove(GENERATION_JOB, ("studio", "a"))
    again = job("a", 9, **ended(5, 6, BASE, spent=1))
    known.put(GENERATION_JOB, {**again, "metadata": {**again["metadata"], "uid": "another"}})
    assert known.jobs.load(SERVER).done == 2


def test_what_servers_are_gone_had_is_forgotten_once_their_jobs_are() -> None:
    known = cache()
    known.put(GENERATION_JOB, job("a", **assigned(1, BASE)))
    known.jobs.forget_servers(())
    assert known.jobs.load(SERVER).models == {BASE}
    known.put(GENERATION_JOB, job("a", 2, **ended(1, 2, BASE)))
    known.jobs.forget_servers({SERVER: None})
    assert known.jobs.loads
    known.jobs.forget_servers(())
    assert known.jobs.loads == {}


def test_how_long_a_job_takes_is_counted_from_when_its_turn_came() -> None:
    known = cache()
    known.put(POD, {"metadata": meta("s", labels={"comfyard.io/pool": "pool"})})
    known.put(GENERATION_JOB, job("a", **ended(0, 10)))
    assert known.tally.seconds == {("studio", "pool"): 10}
    known.put(GENERATION_JOB, job("b", **ended(1, 15)))  # in the second slot until 10
    assert known.tally.seconds == {("studio", "pool"): 9}


def test_jobs_without_a_server_are_known_by_what_they_may_wait_for() -> None:
    known = cache()
    known.put(GENERATION_JOB, job("a"))
    known.put(GENERATION_JOB, job("b", profiles=["p", "q"]))
    known.put(GENERATION_JOB, job("c", **assigned(1)))
    index = known.jobs
    a, b = ("studio", "a"), ("studio", "b")
    assert list(index.unassigned("studio")) == [a, b]
    assert list(index.unassigned_of_template(("studio", "t"))) == [a, b]
    assert list(index.unassigned_of_profile("p")) == [a, b]
    assert list(index.unassigned_of_profile("q")) == [b]
    assert list(index.with_a_choice("studio")) == [b]
    known.put(GENERATION_JOB, job("b", 2, profiles=["p", "q"], **assigned(1)))
    assert list(index.with_a_choice("studio")) == []
    known.put(GENERATION_JOB, job("b", 3, profiles=["p", "q"]))
    assert list(index.with_a_choice("studio")) == [b]
    known.remove(GENERATION_JOB, b)
    known.put(GENERATION_JOB, job("a", 2, **ended(1, 2)))
    assert list(index.unassigned("studio")) == []
    assert list(index.unassigned_of_template(("other", "t"))) == []


def test_contents_that_unfinished_jobs_were_accepted_with_are_known() -> None:
    known = cache()
    for name in ("a", "b"):
        known.put(GENERATION_JOB, job(name, template={"revision": "t-1", "digest": "d"}))
    known.put(GENERATION_JOB, job("a", 2, **ended(1, 2)))
    assert known.jobs.revisions("studio") == {"t-1"}
    assert known.jobs.revisions("other") == set()
    known.remove(GENERATION_JOB, ("studio", "b"))
    assert known.jobs.revisions("studio") == set()


def test_limits_of_namespaces_are_known_and_a_label_that_is_no_number_limits_nothing() -> None:
    known = cache()
    labels = {"comfyard.io/max-jobs": "4", "comfyard.io/max-servers": "two"}
    known.put(NAMESPACE, {"metadata": {"name": "studio", "resourceVersion": "1", "labels": labels}})
    assert (known.limits["studio"].jobs, known.limits["studio"].servers) == (4, None)
    known.put(NAMESPACE, {"metadata": {"name": "studio", "resourceVersion": "2"}})
    assert known.limits == {}
