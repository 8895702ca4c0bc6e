"""Conditions as the Kubernetes API conventions want them, and as kstatus, Flux, Argo CD and Helm read them.

kstatus takes Reconciling=True for "in progress" and Stalled=True for "failed for good", whichever it meets first: so
the two are never True together, and Stalled is kept for what needs a change by a person.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from comfyard.api.meta import Model

Status = Literal["True", "False", "Unknown"]

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
COMPLETE = "Complete"
FAILED = "Failed"
SUSPENDED = "Suspended"
FITS_MEMORY = "FitsMemory"
"""False on a job that needs more VRAM than a GPU of its profile has: it runs, but slowly. kstatus does not read it."""

MESSAGE_BOUND = 4096
"""Characters of a condition's message that are kept; metav1.Condition allows 32768, a person reads less."""


class Condition(Model):
    """metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    status: Status
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    message: Annotated[str, Field(max_length=32768)]
    last_transition_time: Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
    observed_generation: Annotated[int, Field(ge=0)] = 0


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


def timestamp(now: datetime) -> str:
    """A time as metav1.Time writes it: UTC, whole seconds."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_true(conditions: list[Condition], kind: str) -> bool:
    """Whether the condition of that type is there and True."""
    return any(c.type == kind and c.status == "True" for c in conditions)


def find(conditions: list[Condition], kind: str) -> Condition | None:
    """The condition of that type, if it is there."""
    return next((c for c in conditions if c.type == kind), None)


class ConditionSet:
    """The conditions of one status while it is planned: those there were, with this pass's changes on top."""

    def __init__(self, before: list[Condition], generation: int, now: datetime) -> None:
        self._by_type = {c.type: c for c in before}
        self._generation = generation
        self._now = timestamp(now)

    def set(self, kind: str, status: bool | None, reason: str, message: str) -> None:  # noqa: FBT001 - it is the value
        """Set one condition; its transition time moves only when its status does (API conventions)."""
        value: Status = "Unknown" if status is None else "True" if status else "False"
        before = self._by_type.get(kind)
        moved = before is None or before.status != value
        self._by_type[kind] = Condition(
            type=kind,
            status=value,
            reason=reason,
            message=message[:MESSAGE_BOUND],
            last_transition_time=self._now if moved or before is None else before.last_transition_time,
            observed_generation=self._generation,
        )

    def ready(self, reason: str, message: str) -> None:
        """Everything that was asked for is so."""
        self.set(READY, status=True, reason=reason, message=message)
        self.set(RECONCILING, status=False, reason=reason, message="")
        self.set(STALLED, status=False, reason=reason, message="")

    def reconciling(self, reason: str, message: str) -> None:
        """On the way, or waiting for something that can come by itself."""
        self.set(READY, status=False, reason=reason, message=message)
        self.set(RECONCILING, status=True, reason=reason, message=message)
        self.set(STALLED, status=False, reason=reason, message="")

    def stalled(self, reason: str, message: str) -> None:
        """Nothing more will happen until a person changes something."""
        self.set(READY, status=False, reason=reason, message=message)
        self.set(RECONCILING, status=False, reason=reason, message="")
        self.set(STALLED, status=True, reason=reason, message=message)

    def paused(self, reason: str, message: str) -> None:
        """Neither working nor failed: a person asked to wait."""
        self.set(READY, status=False, reason=reason, message=message)
        self.set(RECONCILING, status=False, reason=reason, message="")
        self.set(STALLED, status=False, reason=reason, message="")

    def find(self, kind: str) -> Condition | None:
        """The condition of that type as it is now planned."""
        return self._by_type.get(kind)

    def is_true(self, kind: str) -> bool:
        """Whether the condition of that type is now planned to be True."""
        return kind in self._by_type and self._by_type[kind].status == "True"

    def to_api(self) -> list[dict[str, Any]]:
        """The list for status.conditions, in a fixed order so that nothing changes when nothing changed."""
        return [self._by_type[kind].to_api() for kind in sorted(self._by_type)]
