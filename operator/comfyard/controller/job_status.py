"""The status of a GenerationJob in each of its states, as the operator writes it."""

import uuid
from datetime import datetime
from typing import Any

from comfyard.api.attempts import end_attempt, parse_time, usage_after
from comfyard.api.conditions import FAILED, FITS_MEMORY, SUSPENDED, Condition, ConditionSet, is_true, timestamp
from comfyard.api.generation_job import FailureClass, GenerationJob, Receipt, Usage
from comfyard.controller.job_memory import Fit
from comfyard.controller.pools import Server

Status = dict[str, Any]


def assigned(job: GenerationJob, status: Status, receipt: Receipt, server: Server, now: datetime) -> Status:
    """The status with the assignment to a server: one write, fenced by the id from here on."""
    where = f"assigned to server {server.name}"
    conditions = _conditions(job, status, now)
    conditions.reconciling("Assigned", where)
    assignment = {
        "id": str(uuid.uuid5(uuid.UUID(job.metadata.uid), f"assignment/{len(job.status.attempts)}/{server.name}")),
        "server": server.name,
        "profile": server.profile,
        "time": timestamp(now),
    }
    waited = round((now - parse_time(job.metadata.creation_timestamp)).total_seconds())
    first = {
        "startTime": timestamp(now),
        "usage": Usage(queued_seconds=max(0, waited)).to_api(),
    }
    kept = {key: value for key, value in first.items() if status.get(key) is None}
    return {
        **status,
        **kept,
        "receipt": {**receipt.to_api(), **({"server": {"image": server.image}} if server.image else {})},
        "assignment": assignment,
        **_words(job, "Assigned", where, conditions),
    }


def waiting(job: GenerationJob, status: Status, state: str, reason: str, message: str, now: datetime) -> Status:
    """The status of a job that waits for something."""
    conditions = _conditions(job, status, now)
    conditions.reconciling(reason, message)
    return {**status, **_words(job, state, message, conditions)}


def suspended(job: GenerationJob, status: Status, now: datetime) -> Status:
    """The status of a job that a person has stopped. As with a Job of Kubernetes, its time begins anew."""
    message = "suspended; set spec.suspend to false to go on"
    conditions = _conditions(job, status, now)
    conditions.paused("Suspended", message)
    conditions.set(SUSPENDED, status=True, reason="Suspended", message=message)
    stopped = {key: value for key, value in status.items() if key != "startTime"}
    return {**stopped, **_words(job, "Suspended", message, conditions)}


def failed(job: GenerationJob, status: Status, reason: str, message: str, now: datetime) -> Status:
    """The status of a job that will not run any more."""
    conditions = _conditions(job, status, now)
    conditions.stalled(reason, message)
    conditions.set(FAILED, status=True, reason=reason, message=message)
    return {**status, "completionTime": timestamp(now), **_words(job, "Failed", message, conditions)}


def without_assignment(
    job: GenerationJob,
    status: Status,
    gpus: int,
    now: datetime,
    message: str,
    failure: FailureClass | None = None,
    turn: datetime | None = None,
) -> Status:
    """The status with the assignment, if there is one, ended by the operator; its agent cannot write any more.

    Args:
        job: The job.
        status: As it was read.
        gpus: Of the server.
        now: The time.
        message: Why.
        failure: What kind of a failure it is; None when a person has stopped it.
        turn: When the server was done with the job before, if there was one.
    """
    assignment = job.status.assignment
    if assignment is None:
        return status
    record = end_attempt(assignment, "Failed" if failure else "Stopped", now, failure, message)
    usage = usage_after(job, assignment, gpus, now, turn)
    ended = {key: value for key, value in status.items() if key not in {"assignment", "progress"}}
    return {**ended, "attempts": [*status.get("attempts", []), record.to_api()], "usage": usage.to_api()}


def with_fit(job: GenerationJob, status: Status, fit: Fit, now: datetime) -> Status:
    """The status with what is known of VRAM. Nothing is said of a job that fits, unless it did not before."""
    conditions = _conditions(job, status, now)
    if fit.fits is False:
        conditions.set(FITS_MEMORY, status=False, reason="VRAMTooSmall", message=fit.message)
    elif conditions.find(FITS_MEMORY):
        conditions.set(FITS_MEMORY, status=fit.fits, reason="Fits" if fit.fits else "Unknown", message="")
    else:
        return status
    return {**status, "conditions": conditions.to_api()}


def _conditions(job: GenerationJob, status: Status, now: datetime) -> ConditionSet:
    """Those of the status, to be changed."""
    before = [Condition.model_validate(each) for each in status.get("conditions", [])]
    conditions = ConditionSet(before, job.metadata.generation, now)
    if is_true(before, SUSPENDED) and not job.spec.suspend:
        conditions.set(SUSPENDED, status=False, reason="Resumed", message="")
    return conditions


def _words(job: GenerationJob, state: str, message: str, conditions: ConditionSet) -> Status:
    return {
        "observedGeneration": job.metadata.generation,
        "state": state,
        "message": message[:4096],
        "conditions": conditions.to_api(),
    }
