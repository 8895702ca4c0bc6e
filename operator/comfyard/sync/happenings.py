"""What a person should know of a bundle's files besides what its status says now. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from comfyard.kube.events import EventType
from comfyard.sync.states import FileState, NodeState
from comfyard.sync.told import Told


@dataclass(frozen=True)
class Happening:
    """One event; fields as in core/v1."""

    type: EventType
    reason: str
    message: str


def happenings(told: Told, before: Told, failed: Mapping[str, str]) -> list[Happening]:
    """What has happened between two reports.

    Args:
        told: What there is to tell of the bundle.
        before: What was told of it last by this process; nothing at first.
        failed: See `failures`; of what was told before, by whichever process.
    """
    files = dict(before.files)
    arrived = [_arrived(path, state) for path, state in told.files if state.how and state != files.get(path)]
    messages = {name: state.message for name, state in _states(told)}
    return arrived + [
        Happening("Warning", "FetchFailed", f"{name}: {reason}: {messages[name]}")
        for name, reason in failures(told, failed).items()
        if failed.get(name) != reason
    ]


def failures(told: Told, before: Mapping[str, str]) -> dict[str, str]:
    """Why files and packages have failed for good, by path or name.

    Args:
        told: What there is to tell of the bundle.
        before: What this has been; it stays so while another try goes on.
    """
    found: dict[str, str] = {}
    for name, state in _states(told):
        if state.state == "Failed" and state.settled:
            found[name] = state.reason
        elif state.state != "Ready" and name in before:
            found[name] = before[name]
    return found


def _states(told: Told) -> list[tuple[str, FileState | NodeState]]:
    return [*told.files, *((name, state) for name, _, state in told.nodes)]


def removed(path: str) -> Happening:
    """A file is gone that nobody wants any more."""
    return Happening("Normal", "Removed", f"{path} was removed: spec.deletionPolicy is Delete, and no bundle lists it")


def _arrived(path: str, state: FileState) -> Happening:
    sha256 = f"sha256 {(state.sha256 or '')[:12]}…"
    if state.how == "Repaired":
        return Happening(
            "Warning", "Repaired", f"{path} had been changed or deleted; it was fetched anew and is {sha256} again"
        )
    return Happening("Normal", "Adopted", f"{path} was on the volume before and is what is wanted: {sha256}")
