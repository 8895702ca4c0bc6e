"""What the agent writes to a job's status: JSON patches, each of which only holds while the assignment is ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from comfyard.api.attempts import end_attempt, usage_after
from comfyard.api.conditions import COMPLETE, ConditionSet, timestamp
from comfyard.api.generation_job import Assignment, FailureClass, GenerationJob, Progress, Receipt, Result, Usage
from comfyard.comfyui.failure import MESSAGE_BOUND

Operation = Mapping[str, Any]

MOST_RESULTS = 256
"""Entries that status.outputs may have."""

_WHOLE = 100
_OUR_RECEIPT = ("graph", "inputs", "server", "outputsReused")


@dataclass(frozen=True)
class Ended:
    """Why an assignment ends without everything that was asked for."""

    failure_class: FailureClass
    message: str

    @property
    def words(self) -> str:
        """The message, cut to what a status takes."""
        return self.message[:MESSAGE_BOUND]


def progress_patch(assignment: Assignment, progress: Progress, message: str) -> list[Operation]:
    """How far it is. The conditions stay as they are: they say that it is on the way, and it is."""
    return [
        _fence(assignment),
        _set("state", "Running"),
        _set("message", message),
        _set("progress", progress.to_api()),
    ]


def complete_patch(
    job: GenerationJob,
    assignment: Assignment,
    results: Sequence[Result],
    gpus: int,
    now: datetime,
    *,
    receipt: Receipt,
    turn: datetime | None = None,
) -> list[Operation]:
    """Everything is stored: results, receipt, conditions and the end of the assignment in one write.

    `turn` is when the server was done with the job before.
    """
    message = stored_message(results)
    conditions = ConditionSet(job.status.conditions, job.metadata.generation, now)
    conditions.ready("Complete", message)
    conditions.set(COMPLETE, status=True, reason="Complete", message=message)
    return [
        _fence(assignment),
        _set("observedGeneration", job.metadata.generation),
        _set("outputs", [result.to_api() for result in results]),
        _set("progress", Progress(percent=_WHOLE).to_api()),
        _set("state", "Complete"),
        _set("message", message),
        _set("conditions", conditions.to_api()),
        _set("completionTime", timestamp(now)),
        *_receipt(job, receipt),
        *_end(job, assignment, usage_after(job, assignment, gpus, now, turn), now, None),
    ]


def failure_patch(
    job: GenerationJob,
    assignment: Assignment,
    ended: Ended,
    results: Sequence[Result],
    gpus: int,
    now: datetime,
    *,
    turn: datetime | None = None,
) -> list[Operation]:
    """The assignment has failed. What follows from it is the operator's to decide, so state and conditions stay.

    Args:
        job: As it was seen last.
        assignment: Ours.
        ended: Why.
        results: Of indexes that are complete; those are not rendered again.
        gpus: Of this server.
        now: The time.
        turn: When the server was done with the job before.
    """
    return [
        _fence(assignment),
        _set("message", ended.words),
        *([_set("outputs", [result.to_api() for result in results])] if results else []),
        *_end(job, assignment, usage_after(job, assignment, gpus, now, turn), now, ended),
        _set("progress", {}),  # so that there is one to remove: a patch that removes nothing is refused as a whole
        {"op": "remove", "path": "/status/progress"},
    ]


def _receipt(job: GenerationJob, receipt: Receipt) -> list[Operation]:
    """Our part of it: what the operator wrote when it assigned the job stays as it is."""
    content = receipt.to_api()
    if job.status.receipt is None:
        return [_set("receipt", content)]
    return [_set(f"receipt/{name}", content[name]) for name in _OUR_RECEIPT if name in content]


def _end(
    job: GenerationJob, assignment: Assignment, usage: Usage, now: datetime, ended: Ended | None
) -> list[Operation]:
    if ended is None:
        attempt = end_attempt(assignment, "Succeeded", now)
    else:
        attempt = end_attempt(assignment, "Failed", now, ended.failure_class, ended.words)
    return [
        _set("attempts", [*(before.to_api() for before in job.status.attempts), attempt.to_api()]),
        _set("usage", usage.to_api()),
        {"op": "remove", "path": "/status/assignment"},
    ]


def _fence(assignment: Assignment) -> Operation:
    return {"op": "test", "path": "/status/assignment/id", "value": assignment.id}


def _set(name: str, value: object) -> Operation:
    return {"op": "add", "path": f"/status/{name}", "value": value}


def stored_message(results: Sequence[Result]) -> str:
    """How many files are stored where, for a person."""
    count = len(results)
    images = all(result.content_type.startswith("image/") for result in results)
    noun = ("image" if images else "file") + ("" if count == 1 else "s")
    return f"{count} {noun} stored in {results[0].uri.rpartition('/')[0]}" if results else "no files were asked for"


def overall(job: GenerationJob, done: int, fraction: float) -> int:
    """Percent of the whole job.

    Args:
        job: The job.
        done: Indexes that are rendered.
        fraction: How much of the next one is, 0 to 1.
    """
    return min(_WHOLE, int(_WHOLE * (done + fraction) / job.spec.count))


def rendering_message(server: str, number: int, count: int, node: str, step: int, steps: int) -> str:
    """What happens now, for a person: rendering 1 of 2 on <server>: KSampler step 7 of 20."""
    message = f"rendering {number} of {count} on {server}"
    if not node:
        return message
    return f"{message}: {node} step {step} of {steps}" if steps > 1 else f"{message}: {node}"
