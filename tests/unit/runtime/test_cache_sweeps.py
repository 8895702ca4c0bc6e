from typing import Any

from comfyard.controller.resources.sweep_job import build_sweep_job
from comfyard.kube.kinds import GENERATION_JOB
from comfyard.runtime.cache import Cache
from tests.builders import sweep


def job(index: int, version: int = 1, **status: Any) -> dict[str, Any]:
    made = build_sweep_job(sweep(), index)
    return {**made, "metadata": {**made["metadata"], "resourceVersion": str(version)}, "status": status}


def names(cache: Cache) -> list[str]:
    return [child.name for child in cache.sweeps.children("studio", "styles")]


def test_the_jobs_of_a_sweep_are_known_as_long_as_they_are_there() -> None:
    cache = Cache([GENERATION_JOB])
    cache.put(GENERATION_JOB, job(0))
    cache.put(GENERATION_JOB, job(1))
    assert names(cache) == ["styles-0", "styles-1"]
    cache.remove(GENERATION_JOB, ("studio", "styles-0"))
    assert names(cache) == ["styles-1"]
    cache.remove(GENERATION_JOB, ("studio", "styles-1"))
    assert names(cache) == []


def test_a_job_is_seen_as_it_is_now() -> None:
    cache = Cache([GENERATION_JOB])
    cache.put(GENERATION_JOB, job(0))
    ended = [{"type": "Complete", "status": "True", "reason": "R", "message": "", "lastTransitionTime": ""}]
    cache.put(GENERATION_JOB, job(0, 2, conditions=ended))
    assert [child.outcome for child in cache.sweeps.children("studio", "styles")] == ["Complete"]


def test_a_job_that_is_let_go_by_a_sweep_that_has_lost_it_is_nobodys() -> None:
    cache = Cache([GENERATION_JOB])
    cache.put(GENERATION_JOB, job(0))
    orphan = job(0, 2)
    del orphan["metadata"]["ownerReferences"]
    cache.put(GENERATION_JOB, orphan)
    assert names(cache) == ["styles-0"]
    cache.put(GENERATION_JOB, {**orphan, "metadata": {**orphan["metadata"], "resourceVersion": "3", "finalizers": []}})
    assert names(cache) == []


def test_an_end_that_is_heard_of_late_does_not_take_the_next_of_that_name_away() -> None:
    cache = Cache([GENERATION_JOB])
    cache.put(GENERATION_JOB, job(0, 9))
    cache.drop(GENERATION_JOB, job(0, 8))
    assert names(cache) == ["styles-0"]
    cache.drop(GENERATION_JOB, job(0, 10))
    assert names(cache) == []
