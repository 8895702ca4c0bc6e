"""What happens to a GenerationSweep: its sets checked, jobs made, counted once and for good, stopped, ended.

It keeps to an Indexed Job of Kubernetes. A job of the sweep carries a finalizer until its end stands in the sweep's
status; so a job that has ended is never made again, whoever deletes it and whenever, and one that was deleted before
its end is made anew. More failures than spec.maxFailures end the sweep: jobs that are not finished are deleted.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from comfyard.api.conditions import COMPLETE, FAILED, READY, STALLED, SUSPENDED, ConditionSet, timestamp
from comfyard.api.generation_sweep import MAX_JOBS, GenerationSweep
from comfyard.api.meta import LABEL_SWEEP
from comfyard.api.workflow_template import WorkflowTemplate
from comfyard.controller.indexes import compress
from comfyard.controller.job_acceptance import ready_template
from comfyard.controller.job_observed import Wait
from comfyard.controller.sweep_jobs import Child, Tally
from comfyard.controller.trouble import Trouble
from comfyard.workflow.sweeps import check_sets, digest_of

BATCH = 40
"""Jobs that one pass makes, deletes or changes: others share the connections to the API server."""

NAME_TAKEN = "NameTaken"
JOB_INVALID = "JobInvalid"
JOB_REFUSED = "JobRefused"

_PROBLEMS = 5
_MESSAGE_BOUND = 4096
_COUNTS = frozenset(
    {"message", "pending", "active", "succeeded", "failed", "completedIndexes", "failedIndexes", "conditions"}
)


@dataclass(frozen=True)
class Observed:
    """What a decision about one sweep is made from; of its own namespace.

    Attributes:
        template: The one that its jobs name.
        templates: Names of those that are there.
        children: Jobs that are the sweep's, or carry its finalizer.
        trouble: Why its next job could not be made: NameTaken, JobInvalid or JobRefused.
    """

    template: WorkflowTemplate | None
    templates: Sequence[str]
    children: Collection[Child]
    trouble: Trouble | None = None


@dataclass(frozen=True)
class Plan:
    """What to do about one sweep: a step at a time, at most BATCH of each kind.

    Attributes:
        status: What the status should be.
        create: Numbers of jobs to make.
        delete: Names of jobs to delete, which stops them.
        suspend: Names of jobs whose spec.suspend is to be set.
        resume: Names of jobs whose spec.suspend is to be taken back.
        release: Names of jobs that need the finalizer no more.
    """

    status: dict[str, Any]
    create: list[int] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    suspend: list[str] = field(default_factory=list)
    resume: list[str] = field(default_factory=list)
    release: list[str] = field(default_factory=list)


def plan(sweep: GenerationSweep, status: Mapping[str, Any], seen: Observed, now: datetime) -> Plan:
    """Decide from what was observed. `status` is the sweep's status as it was read, unknown fields included."""
    tally = Tally(sweep, seen.children)
    if sweep.metadata.deletion_timestamp:
        return Plan(dict(status), release=tally.to_release(BATCH, all_of_them=True))
    if sweep.is_finished():  # and stays so; but kstatus takes an unobserved generation for unfinished
        observed = {**status, "observedGeneration": sweep.metadata.generation}
        return Plan(observed, delete=_names(tally.active), release=tally.to_release(BATCH, all_of_them=True))
    conditions = ConditionSet(sweep.status.conditions, sweep.metadata.generation, now)
    own: dict[str, Any] = {}
    steps: dict[str, list[Any]] = {}
    if tally.total > MAX_JOBS:
        conditions.stalled("TooManyJobs", _too_many(tally.total))
    elif _may_run(sweep, seen, conditions):
        own = tally.counts() | _first(sweep, now)
        steps = _judge(sweep, tally, seen, conditions)
    else:
        own = tally.counts()
    ready = conditions.find(READY)
    if conditions.is_true(COMPLETE) or conditions.is_true(FAILED):
        own["completionTime"] = timestamp(now)
        if conditions.is_true(SUSPENDED):
            conditions.set(SUSPENDED, status=False, reason="Finished", message="")
    own |= {
        "observedGeneration": sweep.metadata.generation,
        "message": ready.message[:_MESSAGE_BOUND] if ready else "",
        "conditions": conditions.to_api(),
    }
    return Plan({**status, **own}, release=tally.to_release(BATCH), **steps)


def may_wait(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the two differ in counts only, which are written together with what follows."""
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    return changed <= _COUNTS and _words(before) == _words(after)


def _words(status: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(c["type"], c["status"], c["reason"]) for c in status.get("conditions") or []]


def _first(sweep: GenerationSweep, now: datetime) -> dict[str, Any]:
    """What is written once, before the first job is made."""
    if sweep.status.start_time or sweep.spec.suspend:
        return {}
    return {"startTime": timestamp(now), "digest": digest_of(sweep.spec)}


def _may_run(sweep: GenerationSweep, seen: Observed, conditions: ConditionSet) -> bool:
    """Whether jobs may be made. The sets are checked once, before the first of them: later, each job is."""
    if sweep.status.start_time:
        return not _is_changed(sweep, conditions)
    if sweep.spec.suspend:
        return True
    if conditions.is_true(SUSPENDED):
        conditions.set(SUSPENDED, status=False, reason="Resumed", message="")
    name = sweep.spec.job_template.spec.template.name
    try:
        template = ready_template(name, sweep.metadata.namespace, seen.template, seen.templates)
    except Wait as wait:
        conditions.reconciling(wait.reason, wait.message)
        return False
    problems = check_sets(sweep.spec, template.spec)
    if problems:
        conditions.stalled("InvalidParameters", _wrong(problems))
    return not problems


def _is_changed(sweep: GenerationSweep, conditions: ConditionSet) -> bool:
    """Whether the sets are others than those that were started with. Only a new generation can bring or end that."""
    stalled = conditions.find(STALLED)
    known = stalled is not None and (stalled.status, stalled.reason) == ("True", "SpecChanged")
    if not known and sweep.status.observed_generation == sweep.metadata.generation:
        return False
    if digest_of(sweep.spec) == sweep.status.digest:
        return False
    conditions.stalled(
        "SpecChanged",
        "the parameters of jobTemplate, matrix or sets are not those that the sweep was started with; "
        "put them back, or create another sweep",
    )
    return True


def _judge(sweep: GenerationSweep, tally: Tally, seen: Observed, conditions: ConditionSet) -> dict[str, list[Any]]:
    """Set the conditions of a sweep that may run, and say what to do about its jobs."""
    limit = sweep.spec.max_failures
    if limit is not None and len(tally.failed) > limit:
        return _end_early(tally, limit, conditions)
    if tally.is_over:
        _end(sweep, tally, conditions)
        return {}
    if sweep.spec.suspend:
        message = f"suspended; {_progress(tally)}; set spec.suspend to false to go on"
        conditions.paused("Suspended", message)
        conditions.set(SUSPENDED, status=True, reason="Suspended", message=message)
        return {"suspend": _names(c for c in tally.active if not c.suspended)}
    if conditions.is_true(SUSPENDED):
        asleep = _names(c for c in tally.active if c.suspended)
        if asleep:
            conditions.reconciling("Resuming", f"jobs go on; {_progress(tally)}")
            return {"resume": asleep}
        conditions.set(SUSPENDED, status=False, reason="Resumed", message="")
    if seen.trouble:
        stuck = seen.trouble.reason in {NAME_TAKEN, JOB_INVALID}
        (conditions.stalled if stuck else conditions.reconciling)(seen.trouble.reason, seen.trouble.message)
    else:
        conditions.reconciling("Running", _progress(tally))
    return {"create": tally.to_make(sweep.spec.parallelism, BATCH)}


def _end_early(tally: Tally, limit: int, conditions: ConditionSet) -> dict[str, list[Any]]:
    message = f"{len(tally.failed)} jobs failed{tally.first_failure()}, more than spec.maxFailures ({limit}) allows"
    if tally.live:
        conditions.reconciling("MaxFailuresExceeded", f"{message}; {len(tally.live)} jobs are being stopped")
        return {"delete": _names(tally.active)}
    left = tally.total - len(tally.completed) - len(tally.failed)
    _fail(conditions, "MaxFailuresExceeded", f"{message}; {left} of {tally.total} jobs were not run")
    return {}


def _end(sweep: GenerationSweep, tally: Tally, conditions: ConditionSet) -> None:
    if tally.failed:
        message = f"{len(tally.failed)} of {tally.total} jobs failed{tally.first_failure()}"
        where = f"kubectl get cgj -l {LABEL_SWEEP}={sweep.metadata.name}"
        _fail(conditions, "FailedIndexes", f"{message}; status.failedIndexes tells which, {where} shows them")
        return
    conditions.ready("Complete", f"all {tally.total} jobs are complete")
    conditions.set(COMPLETE, status=True, reason="Complete", message=f"all {tally.total} jobs are complete")


def _fail(conditions: ConditionSet, reason: str, message: str) -> None:
    conditions.stalled(reason, message)
    conditions.set(FAILED, status=True, reason=reason, message=message)


def _names(children: Iterable[Child]) -> list[str]:
    return [c.name for c in islice(children, BATCH)]


def _progress(tally: Tally) -> str:
    done = f"{len(tally.completed)} of {tally.total} jobs are complete, {len(tally.active)} active"
    return f"{done}, {len(tally.failed)} failed{tally.first_failure()}" if tally.failed else done


def _too_many(total: int) -> str:
    return (
        f"the matrix has {total} combinations, and a sweep at most {MAX_JOBS}; make several sweeps of it, "
        "each with some of the values"
    )


def _wrong(problems: Mapping[str, Sequence[int]]) -> str:
    """All problems for a person, each once, with the numbers of the jobs that have it."""
    words = [f"{'job' if len(i) == 1 else 'jobs'} {compress(i)}: {problem}" for problem, i in problems.items()]
    more = f"; and {len(words) - _PROBLEMS} more problems" if len(words) > _PROBLEMS else ""
    return f"{'; '.join(words[:_PROBLEMS])}{more}; no job was made: create another sweep, or correct the template"
