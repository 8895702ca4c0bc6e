"""How an assignment of a GenerationJob ends: the same record whether its agent or the operator writes it."""

from datetime import UTC, datetime
from typing import Literal

from comfyard.api.conditions import timestamp
from comfyard.api.generation_job import Assignment, Attempt, FailureClass, GenerationJob, Usage

_MESSAGE_BOUND = 1024


def parse_time(text: str) -> datetime:
    """Read a metav1.Time."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def end_attempt(
    assignment: Assignment,
    outcome: Literal["Succeeded", "Failed", "Stopped"],
    now: datetime,
    failure_class: FailureClass | None = None,
    message: str = "",
) -> Attempt:
    """The record of an assignment that ends now."""
    return Attempt.model_validate(
        {
            "id": assignment.id,
            "server": assignment.server,
            "profile": assignment.profile,
            "start": assignment.time,
            "end": timestamp(now),
            "outcome": outcome,
            "class": failure_class,
            "message": message[:_MESSAGE_BOUND],
        }
    )


def usage_after(job: GenerationJob, assignment: Assignment, gpus: int, now: datetime) -> Usage:
    """What the job has cost with this assignment, which ends now."""
    before = job.status.usage or Usage()
    seconds = max(0, round((now - parse_time(assignment.time)).total_seconds()))
    return Usage(gpu_seconds=before.gpu_seconds + seconds * gpus, queued_seconds=before.queued_seconds)
