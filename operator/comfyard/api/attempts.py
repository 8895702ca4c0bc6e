"""How an assignment of a GenerationJob ends: the same record whether its agent or the operator writes it."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from comfyard.api.conditions import timestamp
from comfyard.api.generation_job import Assignment, Attempt, FailureClass, GenerationJob, Usage

OOM_KILLED: Literal["OOMKilled"] = "OOMKilled"
"""As kubelet calls it."""

_MESSAGE_BOUND = 1024
_KILL_TOLD_WITHIN = timedelta(seconds=5)


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


def usage_after(
    job: GenerationJob, assignment: Assignment, gpus: int, now: datetime, turn: datetime | None = None
) -> Usage:
    """What the job has cost with this assignment, which ends now.

    Args:
        job: The job.
        assignment: Its own.
        gpus: Of the server.
        now: The time.
        turn: When the server was done with the job before: what a job waits there for its turn costs others.
    """
    before = job.status.usage or Usage()
    began = parse_time(assignment.time)
    seconds = max(0, round((now - (max(began, turn) if turn else began)).total_seconds()))
    return Usage(gpu_seconds=before.gpu_seconds + seconds * gpus, queued_seconds=before.queued_seconds)


def explain_loss(attempt: Attempt, killed_at: datetime | None) -> Attempt | None:
    """The record of a lost server with its cause, once kubelet has told of it; None when there is nothing to add.

    The agent sees ComfyUI go, and reports that at once. Why, only the pod's status tells, a little later.

    Args:
        attempt: The last of a job.
        killed_at: When ComfyUI's container on that server was killed for memory last.
    """
    if attempt.failure_class != "ServerLost" or attempt.reason or killed_at is None:
        return None
    if not parse_time(attempt.start) <= killed_at <= parse_time(attempt.end) + _KILL_TOLD_WITHIN:
        return None
    cause = "ComfyUI was killed as it took more memory than the profile's server.resources.limits.memory; raise that"
    message = f"{cause}: {attempt.message}"[:_MESSAGE_BOUND]
    return attempt.model_copy(update={"reason": OOM_KILLED, "message": message})
