"""The state of one file or package of custom nodes, as it is reported. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from comfyard.api.model_bundle import CustomNodeStatus, ModelState, ModelStatus
from comfyard.store.contents.kinds import Weights
from comfyard.store.errors import InUseError, NoSpaceError, StoreError
from comfyard.store.fetcher import Step
from comfyard.store.wants import Stored

_MESSAGE_BOUND = 1024

SUSPENDED = "Suspended"
_SUSPENDED = "spec.suspend is true; what was fetched of it is kept"
CORRUPTED = "Corrupted"
VERIFYING = "Verifying"

How = Literal["", "Adopted", "Repaired"]
"""How a file came into place, where a person should know: it was there before us, or it was wrong or gone."""


@dataclass(frozen=True)
class FileState:
    """One file.

    Attributes:
        state: As in ModelStatus, like the fields below.
        received: Bytes that came from the source, over all attempts; speed is made of it.
        verified: When the content that is there was read and found right.
        how: How it came into place.
        weights: What its header tells, once it is there.
    """

    state: ModelState = "Pending"
    reason: str = ""
    message: str = ""
    sha256: str | None = None
    size: int | None = None
    bytes: int = 0
    received: int = 0
    verified: datetime | None = None
    how: How = ""
    weights: Weights | None = None

    @property
    def settled(self) -> bool:
        """Whether it stays so until somebody changes a bundle or the source."""
        return _settled(self.state, self.reason)

    @property
    def busy(self) -> bool:
        """Whether the volume or the source is being read for it, or is about to be."""
        return self.state == "Fetching" or (self.state == "Pending" and self.reason in {"", VERIFYING, CORRUPTED})

    def row(self, path: str) -> ModelStatus:
        """As it stands in the status of a bundle."""
        return ModelStatus(
            path=path,
            state=self.state,
            sha256=self.sha256,
            size=self.size,
            bytes=self.bytes,
            reason=self.reason,
            message=self.message[:_MESSAGE_BOUND],
            kind=self.weights and self.weights.kind,
            tensor_bytes=self.weights and self.weights.bytes,
            diffusion_bytes=self.weights and self.weights.diffusion_bytes,
            dtype=self.weights and self.weights.dtype,
        )


def going_on(step: Step) -> FileState:
    """A file that is being worked on, or waits for another try."""
    verifying = step.stage == "Verifying"
    state = FileState(
        state="Fetching" if step.stage == "Fetching" else "Pending",
        size=step.progress.size,
        bytes=0 if verifying else step.progress.bytes,
        received=step.received,
    )
    if isinstance(step.trouble, NoSpaceError):
        return replace(state, state="Failed", reason=step.trouble.reason, message=str(step.trouble))
    if step.trouble:
        return replace(state, reason=step.trouble.reason, message=_again(step.trouble, step.delay))
    if verifying:
        return replace(state, reason=VERIFYING, message="reading what is on the volume")
    return state


def in_place(stored: Stored, before: FileState | None, how: How = "") -> FileState:
    """A file that is there and verified."""
    return FileState(
        "Ready",
        sha256=stored.sha256,
        size=stored.size,
        bytes=stored.size,
        received=before.received if before else 0,
        verified=stored.verified,
        how=how,
        weights=stored.weights,
    )


def suspended(before: FileState | None) -> FileState:
    """A file that is not there, and may not be fetched."""
    return FileState(
        reason=SUSPENDED,
        message=_SUSPENDED,
        size=before.size if before else None,
        bytes=before.bytes if before and before.state != "Ready" else 0,
    )


def corrupted(state: FileState) -> FileState:
    """The same while a file is fetched again that was not any more what had been verified."""
    if state.reason or not state.busy:
        return state
    return replace(state, reason=CORRUPTED, message="the file was not as it had been verified; it is fetched anew")


def failed(error: StoreError, before: FileState | None = None) -> FileState:
    """A file that a person has to do something about."""
    received = before.received if before else 0
    return FileState("Failed", error.reason, str(error), received=received)


@dataclass(frozen=True)
class NodeState:
    """One package of custom nodes; fields as in CustomNodeStatus."""

    state: ModelState = "Pending"
    reason: str = ""
    message: str = ""
    tree: str = ""

    @property
    def settled(self) -> bool:
        """As that of a file."""
        return _settled(self.state, self.reason)

    def row(self, name: str, commit: str) -> CustomNodeStatus:
        """As it stands in the status of a bundle."""
        return CustomNodeStatus(
            name=name,
            state=self.state,
            commit=commit,
            tree=self.tree,
            reason=self.reason,
            message=self.message[:_MESSAGE_BOUND],
        )


def node_failed(error: StoreError, delay: float | None = None) -> NodeState:
    """A package that could not be had: for good, or until the next try in so many seconds."""
    if delay is None or isinstance(error, NoSpaceError):
        return NodeState("Failed", error.reason, str(error))
    return NodeState(reason=error.reason, message=_again(error, delay))


def node_suspended() -> NodeState:
    """A package that is not there, and may not be fetched."""
    return NodeState(reason=SUSPENDED, message=_SUSPENDED)


def _again(error: StoreError, delay: float) -> str:
    waits = delay and not isinstance(error, InUseError)  # then it is not us who have to do something
    return f"{error}; next try in {delay:.0f} s" if waits else str(error)


def _settled(state: ModelState, reason: str) -> bool:
    if state == "Failed":
        return reason != NoSpaceError.reason  # the claim may be enlarged: nobody would tell us
    return state == "Ready" or reason == SUSPENDED
