from typing import Any

from comfyard.kube.kinds import GENERATION_JOB, POD
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


def test_a_list_removes_what_is_gone_and_keeps_what_is_newer_than_itself() -> None:
    cache = Cache([POD])
    cache.put(POD, pod(5, "old"))
    cache.put(POD, pod(9, "new"))
    gone = cache.replace(POD, [], "7")
    assert gone == {("studio", "old")}
    assert cache.get(POD, "studio", "new")


def test_the_job_of_a_server_is_known_while_it_is_assigned() -> None:
    cache = Cache([GENERATION_JOB])
    cache.put(GENERATION_JOB, job(ASSIGNED))
    assert cache.jobs.by_server == {("studio", "s"): ("studio", "a")}
    cache.put(GENERATION_JOB, job({"observedGeneration": 1}, 2))
    assert cache.jobs.by_server == {}
    assert list(cache.jobs.unassigned("studio")) == [("studio", "a")]


def test_finished_and_deleted_jobs_are_no_work() -> None:
    cache = Cache([GENERATION_JOB])
    cache.put(GENERATION_JOB, job({"conditions": [{**ready()[0], "type": "Complete"}]}))
    assert cache.jobs.unfinished == {}
    cache.put(GENERATION_JOB, job(ASSIGNED, 2))
    cache.remove(GENERATION_JOB, ("studio", "a"))
    assert cache.jobs.unfinished == {}
    assert cache.jobs.by_server == {}
