from typing import Any

import pytest

from comfyard.api.conditions import find, is_true
from comfyard.api.generation_job import GenerationJob
from comfyard.api.generation_sweep import GenerationSweep
from comfyard.api.workflow_template import WorkflowTemplate
from comfyard.controller import sweeps
from comfyard.controller.resources.sweep_job import build_sweep_job, index_of
from comfyard.controller.sweep_jobs import Child, observe_child, sweep_of
from comfyard.controller.trouble import Trouble
from tests.builders import NOW, UID, meta, ready, sweep, template

STARTED = {"observedGeneration": 1, "startTime": "2026-01-02T03:04:00Z", "digest": "d"}
SUSPENDED = [{**ready("Suspended")[0], "type": "Suspended"}]


def child(index: int, outcome: str = "", **more: Any) -> Child:
    return Child(**{"name": f"styles-{index}", "owner": UID, "index": index, "outcome": outcome, "held": True, **more})


def plan(
    order: GenerationSweep,
    *children: Child,
    template: WorkflowTemplate | None = None,
    trouble: Trouble | None = None,
) -> sweeps.Plan:
    seen = sweeps.Observed(template=template, templates=["other"], children=children, trouble=trouble)
    return sweeps.plan(order, order.status.to_api(), seen, NOW)


def after(result: sweeps.Plan, **spec: Any) -> GenerationSweep:
    return sweep(status=result.status, **spec)


def reason(result: sweeps.Plan) -> str:
    found = find(after(result).status.conditions, "Ready")
    assert found
    return found.reason


def holds(result: sweeps.Plan, kind: str) -> bool:
    return is_true(after(result).status.conditions, kind)


def test_a_good_sweep_makes_its_jobs() -> None:
    result = plan(sweep(), template=template())
    assert result.create == [0, 1, 2]
    assert result.status["startTime"] == "2026-01-02T03:04:05Z"
    assert (result.status["total"], result.status["pending"], result.status["active"]) == (3, 3, 0)
    assert reason(result) == "Running"


def test_no_more_jobs_than_parallelism_says() -> None:
    assert plan(sweep(parallelism=2), template=template()).create == [0, 1]
    assert plan(sweep(STARTED, parallelism=2), child(0)).create == [1]
    assert plan(sweep(STARTED, parallelism=2), child(0, "Complete"), child(1)).create == [2]


def test_a_pass_makes_a_batch_of_a_large_sweep() -> None:
    many = [{"parameter": "steps", "values": [1] * 200}]
    assert plan(sweep(matrix=many, parallelism=200), template=template()).create == list(range(sweeps.BATCH))


def test_the_end_of_a_job_is_counted_before_its_finalizer_goes() -> None:
    counted = plan(sweep(STARTED), child(0, "Complete"), child(1, "Failed"), child(2))
    assert counted.release == []
    assert (counted.status["completedIndexes"], counted.status["failedIndexes"]) == ("0", "1")
    again = plan(after(counted), child(0, "Complete"), child(1, "Failed"), child(2))
    assert again.release == ["styles-0", "styles-1"]
    assert again.status == counted.status


def test_a_job_that_was_deleted_after_its_end_is_not_made_again() -> None:
    assert plan(sweep({**STARTED, "completedIndexes": "0-1"})).create == [2]


def test_a_job_that_is_deleted_before_its_end_is_let_go_and_made_anew() -> None:
    going = plan(sweep(STARTED), child(0, deleting=True), child(1), child(2))
    assert (going.release, going.create) == (["styles-0"], [])
    assert (going.status["active"], going.status["pending"]) == (2, 1)
    assert plan(after(going), child(1), child(2)).create == [0]


def test_a_job_that_is_deleted_after_its_end_is_counted_first() -> None:
    deleted = child(0, "Complete", deleting=True)
    counted = plan(sweep(STARTED), deleted)
    assert (counted.release, counted.status["succeeded"]) == ([], 1)
    assert plan(after(counted), deleted).release == ["styles-0"]


def test_it_is_complete_when_all_jobs_are() -> None:
    result = plan(sweep({**STARTED, "completedIndexes": "0-1"}), child(2, "Complete"))
    assert holds(result, "Complete")
    assert holds(result, "Ready")
    assert result.status["completionTime"] == "2026-01-02T03:04:05Z"
    assert result.status["message"] == "all 3 jobs are complete"


def test_it_has_failed_when_all_jobs_have_ended_and_some_failed() -> None:
    result = plan(sweep({**STARTED, "completedIndexes": "0,2"}), child(1, "Failed", message="node 3: no"))
    assert holds(result, "Failed")
    assert holds(result, "Stalled")
    assert reason(result) == "FailedIndexes"
    assert "1 of 3 jobs failed (styles-1: node 3: no)" in result.status["message"]
    assert "kubectl get cgj -l comfyard.io/sweep=styles" in result.status["message"]


def test_failures_up_to_the_limit_are_lived_with() -> None:
    result = plan(sweep(STARTED, maxFailures=1, parallelism=1), child(0, "Failed"))
    assert (reason(result), result.create, result.delete) == ("Running", [1], [])


def test_more_failures_than_the_limit_stop_the_others_and_then_end_the_sweep() -> None:
    stopping = plan(sweep(STARTED, maxFailures=0, parallelism=2), child(0, "Failed"), child(1))
    assert (stopping.delete, stopping.create) == (["styles-1"], [])
    assert holds(stopping, "Reconciling")
    assert not holds(stopping, "Failed")
    gone = plan(after(stopping, maxFailures=0), child(0, "Failed"))
    assert holds(gone, "Failed")
    assert reason(gone) == "MaxFailuresExceeded"
    assert "1 jobs failed, more than spec.maxFailures (0) allows; 2 of 3 jobs were not run" in gone.status["message"]


def test_a_limit_that_is_raised_in_time_lets_the_sweep_go_on() -> None:
    stopping = plan(sweep(STARTED, maxFailures=0), child(0, "Failed"), child(1, deleting=True), child(2))
    went_on = plan(after(stopping, maxFailures=1), child(0, "Failed"), child(2))
    assert (reason(went_on), went_on.create) == ("Running", [1])


def test_suspend_suspends_the_jobs_and_makes_no_more() -> None:
    result = plan(sweep(STARTED, suspend=True), child(0, "Complete"), child(1), child(2, suspended=True))
    assert (result.suspend, result.create) == (["styles-1"], [])
    assert holds(result, "Suspended")
    assert not holds(result, "Reconciling")
    assert not holds(result, "Stalled")


def test_jobs_go_on_after_a_suspension_and_the_sweep_with_them() -> None:
    suspended = sweep({**STARTED, "conditions": SUSPENDED})
    resuming = plan(suspended, child(0, suspended=True), child(1, suspended=True))
    assert (resuming.resume, resuming.create, reason(resuming)) == (["styles-0", "styles-1"], [], "Resuming")
    assert holds(resuming, "Suspended")
    resumed = plan(after(resuming), child(0), child(1))
    assert (resumed.create, reason(resumed)) == ([2], "Running")
    assert not holds(resumed, "Suspended")


def test_a_job_that_somebody_suspended_alone_stays_so() -> None:
    result = plan(sweep(STARTED), child(0, suspended=True), child(1), child(2))
    assert (result.resume, reason(result)) == ([], "Running")


def test_a_sweep_that_begins_suspended_makes_nothing() -> None:
    result = plan(sweep(suspend=True), template=template())
    assert (result.create, reason(result)) == ([], "Suspended")
    assert "startTime" not in result.status
    resumed = plan(after(result), template=template())
    assert (resumed.create, reason(resumed)) == ([0, 1, 2], "Running")
    assert not holds(resumed, "Suspended")


def test_a_template_that_may_still_come_is_waited_for() -> None:
    result = plan(sweep())
    assert (result.create, reason(result)) == ([], "TemplateNotFound")
    assert holds(result, "Reconciling")
    assert '"text-to-image" is not in namespace "studio" (there: other); create it' in result.status["message"]
    unchecked = plan(sweep(), template=template(status={"observedGeneration": 0}))
    assert (unchecked.create, reason(unchecked)) == ([], "TemplateNotReady")


def test_all_sets_are_checked_before_the_first_job_is_made() -> None:
    sets = [{"steps": 10}, {"steps": 99}, {"steps": 20}, {"steps": 99}, {"stpes": 1}]
    result = plan(sweep(sets=sets), template=template())
    assert (result.create, reason(result)) == ([], "InvalidParameters")
    assert holds(result, "Stalled")
    assert "jobs 1,3: parameter steps: 99 is greater than the maximum of 60" in result.status["message"]
    assert "job 4: unknown parameter stpes" in result.status["message"]
    assert "no job was made: create another sweep, or correct the template" in result.status["message"]


def test_many_problems_are_told_in_a_message_of_bounded_length() -> None:
    sets = [{"steps": 100 + number} for number in range(1000)]
    message = plan(sweep(sets=sets), template=template()).status["message"]
    assert "and 995 more problems" in message
    assert len(message) < 1000


def test_a_matrix_of_too_many_combinations_says_so() -> None:
    matrix = [{"parameter": name, "values": list(range(101))} for name in ("steps", "seed")]
    result = plan(sweep(matrix=matrix), template=template())
    assert (result.create, reason(result)) == ([], "TooManyJobs")
    assert "10201 combinations, and a sweep at most 10000" in result.status["message"]


def test_ten_thousand_jobs_are_not_too_many() -> None:
    matrix = [{"parameter": name, "values": [1] * 100} for name in ("steps", "seed")]
    result = plan(sweep({**STARTED, "completedIndexes": "0-9998"}, matrix=matrix))
    assert (result.create, reason(result)) == ([9999], "Running")


def test_sets_that_were_changed_behind_the_rules_stop_the_sweep_until_they_are_back() -> None:
    first = plan(sweep(sets=[{"steps": 1}]), template=template())
    changed = plan(sweep(first.status, {"generation": 2}, sets=[{"seed": 1}]))
    assert (changed.create, reason(changed)) == ([], "SpecChanged")
    still = plan(sweep(changed.status, {"generation": 2}, sets=[{"seed": 1}]))
    assert still.status == changed.status
    back = plan(sweep(changed.status, {"generation": 3}, sets=[{"steps": 1}]))
    assert (back.create, reason(back)) == ([0], "Running")


@pytest.mark.parametrize(
    ("word", "kind"), [("NameTaken", "Stalled"), ("JobInvalid", "Stalled"), ("JobRefused", "Reconciling")]
)
def test_why_no_job_can_be_made_is_told(word: str, kind: str) -> None:
    result = plan(sweep(STARTED), trouble=Trouble(word, "delete it"))
    assert (reason(result), result.status["message"]) == (word, "delete it")
    assert holds(result, kind)


@pytest.mark.parametrize("outcome", ["Complete", "Failed"])
def test_a_finished_sweep_is_left_alone(outcome: str) -> None:
    status = {**STARTED, "completedIndexes": "0-2", "conditions": [{**ready()[0], "type": outcome}]}
    order = sweep(status, {"generation": 2}, suspend=True)
    result = plan(order, child(0, "Complete"), child(1, "Complete", held=False))
    assert result.status == {**order.status.to_api(), "observedGeneration": 2}
    assert (result.release, result.create, result.suspend) == (["styles-0"], [], [])


def test_a_sweep_that_is_deleted_lets_all_its_jobs_go() -> None:
    order = sweep(STARTED, {"deletionTimestamp": "2026-01-02T03:04:05Z"})
    result = plan(order, child(0), child(1, "Complete"))
    assert (result.release, result.create) == (["styles-0", "styles-1"], [])
    assert result.status == order.status.to_api()


def test_jobs_of_an_earlier_sweep_of_the_same_name_are_let_go_and_not_counted() -> None:
    result = plan(sweep(STARTED), child(0, "Complete", owner="other"))
    assert (result.release, result.status["succeeded"], result.create) == (["styles-0"], 0, [0, 1, 2])


def test_counts_may_wait_and_everything_else_may_not() -> None:
    first = plan(sweep(), template=template()).status
    running = after(plan(sweep(), template=template()))
    counted = plan(running, child(0, "Failed", message="no"), child(1)).status
    assert not sweeps.may_wait(sweep().status.to_api(), first)
    assert sweeps.may_wait(first, counted)
    ended = plan(after(plan(sweep(STARTED), child(0, "Failed"))), child(1, "Failed"), child(2, "Failed")).status
    assert not sweeps.may_wait(counted, ended)
    assert not sweeps.may_wait(first, {**counted, "observedGeneration": 2})


def test_a_job_is_made_of_the_template_and_its_set() -> None:
    order = sweep(
        jobTemplate={
            "metadata": {"labels": {"team": "a", "comfyard.io/sweep": "forged"}, "annotations": {"note": "b"}},
            "spec": {"template": {"name": "t"}, "profiles": ["l4"], "parameters": {"prompt": "x"}, "priority": 5},
        }
    )
    job = build_sweep_job(order, 1)
    assert job["metadata"]["name"] == "styles-1"
    assert job["metadata"]["labels"]["team"] == "a"
    assert job["metadata"]["labels"]["comfyard.io/sweep"] == "styles"
    assert job["metadata"]["annotations"] == {"note": "b", "comfyard.io/sweep-index": "1"}
    assert job["spec"]["parameters"] == {"prompt": "x", "steps": 20}
    assert GenerationJob.model_validate(job).spec.priority == 5
    owner = job["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
        "GenerationSweep",
        UID,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("name", "index"), [("styles-0", 0), ("styles-12", 12), ("styles-012", None), ("styles", None), ("other-1", None)]
)
def test_the_name_tells_which_job_it_is(name: str, index: int | None) -> None:
    assert index_of("styles", name) == index


def test_a_job_is_read() -> None:
    job = build_sweep_job(sweep(), 2)
    assert observe_child(job) == child(2)
    job["status"] = {"message": "no", "conditions": [{"type": "Complete", "status": "False"}]}
    assert observe_child(job) == child(2, message="no")
    job["status"]["conditions"].append({"type": "Failed", "status": "True"})
    job["spec"]["suspend"] = True
    job["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    assert observe_child(job) == child(2, "Failed", message="no", suspended=True, deleting=True)


def test_the_sweep_of_a_job_is_its_owner_or_who_must_let_it_go() -> None:
    job = build_sweep_job(sweep(), 2)
    assert sweep_of(job) == "styles"
    del job["metadata"]["ownerReferences"]  # kubectl delete --cascade=orphan
    assert sweep_of(job) == "styles"
    del job["metadata"]["labels"]
    assert sweep_of(job) == ""
    del job["metadata"]["finalizers"]
    assert sweep_of(job) is None
    assert sweep_of({"metadata": meta("lighthouse"), "spec": {}}) is None
