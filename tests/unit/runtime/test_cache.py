from typing import Any

import pytest

from comfyard.api.model_bundle import ModelBundle
from comfyard.kube.kinds import GENERATION_JOB, MODEL_BUNDLE, POD
from comfyard.runtime.cache import Cache
from tests.builders import meta, ready

ASSIGNED = {"observedGeneration": 1, "assignment": {"id": "1", "server": "s", "time": "2026-01-02T03:04:00Z"}}


def pod(version: int, name: str = "s") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "studio", "resourceVersion": str(version)}}


def job(status: dict[str, Any], version: int = 1) -> dict[str, Any]:
    spec = {"template": {"name": "t"}, "profiles": ["p"]}
    return {"metadata": meta("a", resourceVersion=str(version)), "spec": spec, "status": status}


def test_an_older_version_does_not_replace_a_newer_one() -> None:
    cache = Cache([POD])
    cache.put(POD, pod(5))
    cache.put(POD, pod(4))
    assert cache.get(POD, "studio", "s") == pod(5)


def test_what_a_list_does_not_have_is_gone_unless_it_is_newer_than_the_list() -> None:
    cache = Cache([POD])
    for version, name in ((5, "old"), (6, "listed"), (9, "new")):
        cache.put(POD, pod(version, name))
    assert cache.others(POD, {("studio", "listed")}, "7") == [("studio", "old")]


def test_what_is_known_already_is_no_change() -> None:
    cache = Cache([POD])
    assert cache.put(POD, pod(5)) == (POD, ("studio", "s"), None, pod(5))
    assert cache.put(POD, pod(5)) is None
    assert cache.put(POD, pod(6)) == (POD, ("studio", "s"), pod(5), pod(6))
    assert cache.drop(POD, pod(5)) is None
    assert cache.drop(POD, pod(7)) == (POD, ("studio", "s"), pod(6), None)
    assert cache.drop(POD, pod(7)) is None


def test_what_will_be_told_soon_is_known_until_it_is_told() -> None:
    cache = Cache([POD])
    cache.put(POD, pod(5))
    ending = {"metadata": {**pod(5)["metadata"], "deletionTimestamp": "2026-01-02T03:04:00Z"}}
    cache.amend(POD, ending)
    assert cache.get(POD, "studio", "s") == ending
    cache.put(POD, pod(6))
    assert cache.get(POD, "studio", "s") == pod(6)


def test_the_job_of_a_server_is_known_while_it_is_assigned() -> None:
    cache = Cache([GENERATION_JOB])
    cache.put(GENERATION_JOB, job(ASSIGNED))
    assert cache.jobs.load(("studio", "s")).jobs == (("studio", "a"),)
    cache.put(GENERATION_JOB, job({"observedGeneration": 1}, 2))
    assert cache.jobs.load(("studio", "s")).jobs == ()
    assert list(cache.jobs.unassigned("studio")) == [("studio", "a")]


def test_finished_and_deleted_jobs_are_no_work() -> None:
    cache = Cache([GENERATION_JOB])
    cache.put(GENERATION_JOB, job({"conditions": [{**ready()[0], "type": "Complete"}]}))
    assert cache.jobs.unfinished == {}
    cache.put(GENERATION_JOB, job(ASSIGNED, 2))
    cache.remove(GENERATION_JOB, ("studio", "a"))
    assert cache.jobs.unfinished == {}
    assert cache.jobs.load(("studio", "s")).jobs == ()


def bundle(spec: dict[str, Any], version: int = 1, **status: Any) -> dict[str, Any]:
    return {"metadata": meta("b", resourceVersion=str(version)), "spec": spec, "status": status}


def test_an_object_that_cannot_be_read_is_left_out_and_its_neighbours_are_not(caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache([MODEL_BUNDLE, GENERATION_JOB])
    cache.put(MODEL_BUNDLE, bundle({"models": "of a newer schema"}))
    cache.put(MODEL_BUNDLE, {**bundle({"models": []}), "metadata": meta("good")})
    for _ in range(2):
        assert list(cache.read_all(ModelBundle, MODEL_BUNDLE, "studio")) == ["good"]
    assert cache.read(ModelBundle, MODEL_BUNDLE, "studio", "b") is None
    assert cache.read(ModelBundle, MODEL_BUNDLE, "studio", "none") is None
    assert [r.message.split(",")[0] for r in caplog.records] == ["ModelBundle studio/b is left alone"]


def test_an_object_is_read_again_when_it_has_changed() -> None:
    cache = Cache([MODEL_BUNDLE])
    cache.put(MODEL_BUNDLE, bundle({"suspend": True}))
    first = cache.read(ModelBundle, MODEL_BUNDLE, "studio", "b")
    assert first is cache.read(ModelBundle, MODEL_BUNDLE, "studio", "b")
    cache.put(MODEL_BUNDLE, bundle({"suspend": False}, 2))
    second = cache.read(ModelBundle, MODEL_BUNDLE, "studio", "b")
    assert first
    assert second
    assert (first.spec.suspend, second.spec.suspend) == (True, False)


def test_a_job_that_cannot_be_read_is_no_job() -> None:
    cache = Cache([GENERATION_JOB])
    cache.put(GENERATION_JOB, {**job({}), "spec": {"template": "of a newer schema"}})
    assert cache.jobs.unfinished == {}


def test_a_finished_job_that_cannot_be_read_is_no_job(caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache([GENERATION_JOB])
    ends = [{**ready()[0], "type": "Complete"}]
    cache.put(GENERATION_JOB, job({"conditions": ends, "attempts": [{"of": "a newer schema"}]}))
    assert cache.jobs.loads == {}
    assert "GenerationJob studio/a is left alone" in caplog.text


def test_bundles_whose_files_are_held_are_known() -> None:
    cache = Cache([MODEL_BUNDLE])
    cache.put(MODEL_BUNDLE, bundle({}, inUse=True))
    assert cache.held == {("studio", "b")}
    cache.put(MODEL_BUNDLE, bundle({}, 2, inUse=False))
    assert cache.held == set()
    cache.put(MODEL_BUNDLE, bundle({}, 3, inUse=True))
    cache.remove(MODEL_BUNDLE, ("studio", "b"))
    assert cache.held == set()


def test_the_contents_that_running_jobs_use_are_known() -> None:
    cache = Cache([GENERATION_JOB])
    accepted = {**ASSIGNED, "template": {"revision": "t-1", "digest": "d"}}
    cache.put(GENERATION_JOB, job(accepted))
    assert cache.jobs.assigned_revisions("studio") == {"t-1"}
    assert cache.jobs.assigned_revisions("other") == set()
    assert cache.jobs.is_assigned(("studio", "a"))
    cache.put(GENERATION_JOB, job({"template": accepted["template"]}, 2))
    assert cache.jobs.assigned_revisions("studio") == set()
    assert not cache.jobs.is_assigned(("studio", "a"))


def taking(*sources: str, version: int = 1, **status: Any) -> dict[str, Any]:
    inputs = [{"parameter": f"p{i}", "job": {"name": name, "output": "image"}} for i, name in enumerate(sources)]
    whole = job(status, version)
    return {**whole, "spec": {**whole["spec"], "inputs": inputs}}


def test_jobs_that_take_inputs_are_known_by_where_they_take_them_from_until_they_are_finished() -> None:
    cache = Cache([GENERATION_JOB])
    cache.put(GENERATION_JOB, taking("first", "first", "second"))
    assert cache.jobs.takers == {("studio", "first"): {("studio", "a")}, ("studio", "second"): {("studio", "a")}}
    cache.put(GENERATION_JOB, taking("first", version=2, conditions=[{**ready()[0], "type": "Complete"}]))
    assert cache.jobs.takers == {}


def test_jobs_that_lost_their_server_are_known_by_it_until_they_have_tried_again() -> None:
    cache = Cache([GENERATION_JOB, POD])
    record = {"id": "1", "server": "s", "start": "2026-01-02T03:04:00Z", "end": "2026-01-02T03:04:05Z"}
    lost, done = ({**record, "outcome": "Failed", "class": kind} for kind in ("ServerLost", "NodeError"))
    cache.put(GENERATION_JOB, job({"attempts": [lost]}))
    assert cache.jobs.losers == {("studio", "s"): {("studio", "a")}}
    cache.put(GENERATION_JOB, job({"attempts": [lost, done]}, 2))
    assert cache.jobs.losers == {}
    cache.put(GENERATION_JOB, job({"attempts": [lost]}, 3))
    cache.remove(GENERATION_JOB, ("studio", "a"))
    assert cache.jobs.losers == {}
