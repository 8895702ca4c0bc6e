"""The state of one file, as it is reported. Pure."""

from dataclasses import dataclass

from comfyard.api.model_bundle import ModelState, ModelStatus
from comfyard.store.errors import StoreError
from comfyard.store.fetcher import Step
from comfyard.store.wants import Stored

_MESSAGE_BOUND = 1024


@dataclass(frozen=True)
class FileState:
    """One file.

    Attributes:
        state: As in ModelStatus, like the fields below.
        received: Bytes that came from the source, over all attempts; speed is made of it.
    """

    state: ModelState = "Pending"
    reason: str = ""
    message: str = ""
    sha256: str | None = None
    size: int | None = None
    bytes: int = 0
    received: int = 0

    @property
    def settled(self) -> bool:
        """Whether it stays so by itself."""
        return self.state in {"Ready", "Failed"}

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
        )


def going_on(step: Step) -> FileState:
    """A file that is being worked on, or waits for another try."""
    reason, message = "", ""
    if step.trouble:
        reason = step.trouble.reason
        message = f"{step.trouble}; next try in {step.delay:.0f} s" if step.delay else str(step.trouble)
    elif step.stage == "Verifying":
        reason, message = "Verifying", "reading what is on the volume"
    return FileState(
        state="Fetching" if step.stage == "Fetching" else "Pending",
        reason=reason,
        message=message,
        size=step.progress.size,
        bytes=step.progress.bytes if step.stage != "Verifying" else 0,
        received=step.received,
    )


def in_place(stored: Stored, before: FileState | None) -> FileState:
    """A file that is there and verified."""
    received = before.received if before else 0
    return FileState("Ready", sha256=stored.sha256, size=stored.size, bytes=stored.size, received=received)


def failed(error: StoreError, before: FileState | None = None) -> FileState:
    """A file that a person has to do something about."""
    received = before.received if before else 0
    return FileState("Failed", error.reason, str(error), received=received)
