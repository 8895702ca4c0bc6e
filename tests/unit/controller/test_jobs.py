from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from comfyard.api.conditions import is_true
from comfyard.api.generation_job import GenerationJob
from comfyard.controller.job_observed import Observed
from comfyard.controller.pools import Server
from tests.builders import NOW, bundle, job, ready, template
from tests.unit.controller.planning import ASSIGNMENT, SERVER, assign, done, observed, plan, reason, words


def after(status: dict[str, Any]) -> GenerationJob:
    return job(status=status)


def test_a_good_job_demands_a_server_of_its_pool() -> None:
    result = plan(job(), observed(template=template()))
    assert result.demand
    assert result.demand.pool.profile == "l4"
    assert result.demand.pool.model_claims == ("models",)
    assert result.demand.pool.results_claim == "results"
    assert result.status["parameters"] == {"prompt": "a lighthouse", "steps": 20}
    assert result.status["template"] == {"revision": "t-1", "digest": "sha256:t"}


@pytest.mark.parametrize(
    ("seen", "reason", "parts"),
    [
        (observed(), "TemplateNotFound", ['"text-to-image"', '"studio"', "other, text-to-image", "create it"]),
        (
            observed(template=template(status={"observedGeneration": 0})),
            "TemplateNotReady",
            ["text-to-image is being checked"],
        ),
        (observed(template=template(), profiles={}), "ProfileNotFound", ['"l4"', "create it"]),
        (observed(template=template(), bundles={}), "BundleNotFound", ['"sd15"', "create it"]),
        (
            observed(template=template(), bundles={"sd15": bundle(status={"observedGeneration": 1})}),
            "BundleNotReady",
            ["bundle sd15"],
        ),
    ],
)
def test_what_may_still_come_is_waited_for(seen: Observed, reason: str, parts: list[str]) -> None:
    result = plan(job(), seen)
    ended = after(result.status)
    assert result.demand is None
    assert is_true(ended.status.conditions, "Reconciling")
    assert {c.reason for c in ended.status.conditions if c.type == "Ready"} == {reason}
    assert all(part in result.status["message"] for part in parts)


def test_a_finished_job_is_left_alone() -> None:
    done = {"observedGeneration": 1, "conditions": [{**ready()[0], "type": "Complete"}]}
    order = job(status=done, suspend=True)
    assert plan(order, observed()).status == order.status.to_api()


def test_a_finished_job_is_observed_when_its_priority_changes() -> None:
    done = {"observedGeneration": 1, "conditions": [{**ready()[0], "type": "Complete"}]}
    order = job(status=done, metadata={"generation": 2}, priority=3)
    assert plan(order, observed()).status == {**order.status.to_api(), "observedGeneration": 2}


def test_an_assigned_job_on_a_ready_server_is_left_to_its_agent() -> None:
    order = job(status={"observedGeneration": 1, "assignment": ASSIGNMENT, "state": "Running"})
    result = plan(order, observed(template=template(), server=SERVER))
    assert result.demand is None
    assert result.status == order.status.to_api()


def test_a_server_that_is_gone_costs_an_uncounted_attempt_and_the_job_is_demanded_again() -> None:
    order = job(status={"observedGeneration": 1, "assignment": ASSIGNMENT, "state": "Running"})
    result = plan(order, observed(template=template()))
    attempt = result.status["attempts"][-1]
    assert (attempt["outcome"], attempt["class"]) == ("Failed", "ServerLost")
    assert "assignment" not in result.status
    assert result.status["usage"]["gpuSeconds"] == 5
    assert result.demand


def test_a_server_that_is_not_ready_for_a_moment_keeps_its_job() -> None:
    late = Server(
        namespace="studio", name="l4-1", pool="l4-x", profile="l4", ready=False, leaving=True,
        unready_since=NOW - timedelta(seconds=17),
    )  # fmt: skip
    order = job(status={"observedGeneration": 1, "assignment": ASSIGNMENT})
    result = plan(order, observed(template=template(), server=late))
    assert result.after == 3
    assert result.status["assignment"] == ASSIGNMENT


def test_suspend_ends_the_assignment() -> None:
    order = job(status={"observedGeneration": 1, "assignment": ASSIGNMENT}, suspend=True)
    result = plan(order, observed(template=template(), server=SERVER))
    assert "assignment" not in result.status
    assert result.status["attempts"][-1]["outcome"] == "Stopped"
    assert words(result)[0] == "Suspended"


def test_resuming_queues_it_again() -> None:
    suspended = plan(job(suspend=True), observed(template=template())).status
    result = plan(job(status=suspended), observed(template=template()))
    assert result.demand


def test_assigning_is_one_status_with_all_that_the_agent_needs() -> None:
    status = assign(job(), observed(template=template()))
    assert status["assignment"]["server"] == "l4-1"
    assert status["usage"]["queuedSeconds"] == 5
    assert {"seed", "parameters", "template", "startTime", "conditions"} <= set(status)


START = "2026-01-02T03:03:05Z"  # a minute before NOW


def started(**more: Any) -> GenerationJob:
    status = {"observedGeneration": 1, "assignment": ASSIGNMENT, "state": "Running", "startTime": START}
    return job(status=status, **more)


def test_a_deadline_ends_the_assignment_and_the_job() -> None:
    result = plan(started(activeDeadlineSeconds=60), observed(template=template(), server=SERVER))
    assert "assignment" not in result.status
    attempt = result.status["attempts"][-1]
    assert (attempt["outcome"], attempt["class"]) == ("Failed", "DeadlineExceeded")
    assert reason(result) == "DeadlineExceeded"
    assert words(result) == ("Failed", "not done within activeDeadlineSeconds, 60; order again with more")
    assert result.status["usage"]["gpuSeconds"] == 5
    assert result.demand is None


def test_a_job_is_looked_at_again_when_its_deadline_comes() -> None:
    result = plan(started(activeDeadlineSeconds=100), observed(template=template(), server=SERVER))
    assert result.after == 40
    assert result.status["assignment"] == ASSIGNMENT


def test_a_deadline_counts_between_attempts_and_while_its_server_is_lost() -> None:
    waits = job(status={"observedGeneration": 1, "startTime": START}, activeDeadlineSeconds=61)
    assert plan(waits, observed(template=template(), bundles={})).after == 1
    late = replace(SERVER, ready=False, unready_since=NOW)
    assert plan(started(activeDeadlineSeconds=61), observed(template=template(), server=late)).after == 1


def test_a_changed_deadline_counts_at_once() -> None:
    seen = observed(template=template(), server=SERVER)
    assert plan(started(activeDeadlineSeconds=59), seen).status["state"] == "Failed"
    assert plan(started(activeDeadlineSeconds=61), seen).status["state"] == "Running"
    assert plan(started(), seen).after is None


def test_a_job_that_never_started_has_time() -> None:
    created = {"creationTimestamp": "2025-01-02T03:04:00Z"}
    assert plan(job(metadata=created, activeDeadlineSeconds=1), observed(template=template())).demand


def test_time_begins_anew_after_a_suspension() -> None:
    seen = observed(template=template(), server=SERVER)
    suspended = plan(started(activeDeadlineSeconds=61, suspend=True), seen).status
    assert "startTime" not in suspended
    assert plan(job(suspended, activeDeadlineSeconds=61), seen, NOW + timedelta(hours=1)).demand


def test_a_finished_job_is_deleted_after_its_time_and_no_earlier() -> None:
    order = done(ttlSecondsAfterFinished=30)  # done five seconds ago
    assert plan(order, observed()).after == 25
    assert plan(order, observed(), NOW + timedelta(seconds=25)).delete
    assert not plan(done(), observed(), NOW + timedelta(days=365)).delete


def test_a_failed_job_is_deleted_likewise() -> None:
    failed = plan(job(parameters={}, ttlSecondsAfterFinished=10), observed(template=template())).status
    order = job(failed, ttlSecondsAfterFinished=10)
    assert plan(order, observed(), NOW + timedelta(seconds=9)).after == 1
    assert plan(order, observed(), NOW + timedelta(seconds=10)).delete


def test_a_finished_job_stays_for_those_that_take_an_input_from_it() -> None:
    order = done(ttlSecondsAfterFinished=0)
    kept = plan(order, observed(awaited=True))
    assert (kept.delete, kept.after) == (False, None)
    assert plan(order, observed()).delete


def test_a_job_that_is_being_deleted_is_let_go() -> None:
    order = done(ttlSecondsAfterFinished=0).model_copy(
        update={"metadata": job().metadata.model_copy(update={"deletion_timestamp": START})}
    )
    assert not plan(order, observed()).delete


KILLED = replace(SERVER, killed_at=NOW)


def lost(**more: Any) -> GenerationJob:
    """A job whose ComfyUI went away, as its agent has seen."""
    record = {"id": "a0", "server": "l4-1", "profile": "l4", "start": START, "end": "2026-01-02T03:04:04Z"}
    attempt = record | {"outcome": "Failed", "class": "ServerLost", "message": "ComfyUI went away"}
    return job(status={"observedGeneration": 1, "attempts": [attempt], **more})


@pytest.mark.parametrize("more", [{}, {"assignment": ASSIGNMENT}])
def test_what_killed_comfyui_is_written_to_the_attempt_once_the_pod_tells(more: dict[str, Any]) -> None:
    seen = observed(template=template(), server=SERVER, last_server=KILLED)
    result = plan(lost(**more), seen)
    attempt = result.status["attempts"][-1]
    assert (attempt["class"], attempt["reason"]) == ("ServerLost", "OOMKilled")
    assert "took more memory than the profile's server.resources.limits.memory; raise that" in attempt["message"]
    assert attempt["message"].endswith(": ComfyUI went away")
    assert plan(job(result.status), seen).status == result.status


@pytest.mark.parametrize("seconds", [-120, 60])
def test_a_kill_at_another_time_explains_nothing(seconds: int) -> None:
    other = replace(KILLED, killed_at=NOW + timedelta(seconds=seconds))
    result = plan(lost(), observed(template=template(), last_server=other))
    assert "reason" not in result.status["attempts"][-1]


def test_a_retry_prefers_the_server_that_has_what_was_rendered() -> None:
    record = {"id": "a0", "server": "l4-1", "profile": "l4", "start": START, "end": START}
    attempt = record | {"outcome": "Failed", "class": "OutputFailed", "message": "the bucket is away"}
    demand = plan(job(status={"attempts": [attempt]}), observed(template=template())).demand
    assert demand
    assert demand.prefers == "l4-1"
