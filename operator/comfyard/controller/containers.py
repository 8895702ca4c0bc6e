"""What a container says of itself, for people: why it does not run. Kubelet's words, in fewer and always the same."""

import re
from typing import Any

from comfyard.api.attempts import OOM_KILLED
from comfyard.controller.trouble import Trouble

CRASHING = "CrashLoopBackOff"
IMAGE_PULL = "ImagePullBackOff"

_PULLING = frozenset({"ErrImagePull", IMAGE_PULL, "ErrImageNeverPull", "ImageInspectError", "InvalidImageName"})
_BAD_WAITING = frozenset({CRASHING, "CreateContainerConfigError", "CreateContainerError", "RunContainerError"})

_CRASHES = 2
"""So often a container has been restarted when it counts as crashing while it is being tried once more: kubelet says
CrashLoopBackOff only in the pauses, and the words should not change with each try."""

_CAUSE_BOUND = 500
_LINES, _LINE_BOUND = 3, 200

_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"(: ErrImagePull)?(: )?')
_RPC = re.compile(r"^rpc error: code = \w+ desc = ")
_NOT_FOR_PEOPLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\t\x20-\x7e\u00a0-\U0010ffff]")
"""Colours of a terminal, and what else no page shows."""


def trouble(status: dict[str, Any], image: str) -> Trouble | None:
    """Why a container does not run; None when it does, or may yet.

    Args:
        status: Its v1.ContainerStatus.
        image: As its pod names it.
    """
    waiting = status.get("state", {}).get("waiting") or {}
    reason, said, name = str(waiting.get("reason", "")), str(waiting.get("message", "")), status["name"]
    if reason in _PULLING:
        kind = IMAGE_PULL if reason == "ErrImagePull" else reason  # they take turns
        return Trouble(kind, f"container {name}: image {image} cannot be had{_after(_cause_of_pull(said))}")
    if ended := _crash(status, reason):
        return _crashed(name, ended)
    if reason in _BAD_WAITING:
        return Trouble(reason, f"container {name} cannot be started{_after(said[:_CAUSE_BOUND])}")
    return None


def last_end(status: dict[str, Any]) -> dict[str, Any]:
    """The v1.ContainerStateTerminated of a container that has ended, now or before it was started again."""
    found: dict[str, Any] = (status.get("state", {}).get("terminated") or {}) or (
        status.get("lastState", {}).get("terminated") or {}
    )
    return found


def last_lines(text: str) -> str:
    """The end of a log, as one line that a person can read."""
    lines = [line for raw in text.splitlines() if (line := _NOT_FOR_PEOPLE.sub("", raw).strip())]
    return " / ".join(line[:_LINE_BOUND] for line in lines[-_LINES:])


def _crash(status: dict[str, Any], waiting: str) -> dict[str, Any]:
    """How a container that ends again and again has ended last."""
    tried = status.get("restartCount", 0) >= _CRASHES and not status.get("ready") and waiting not in _BAD_WAITING
    return last_end(status) if waiting == CRASHING or tried else {}


def _crashed(name: str, ended: dict[str, Any]) -> Trouble:
    if ended.get("reason") == OOM_KILLED:
        return Trouble(OOM_KILLED, f"container {name} is killed as it takes more memory than its limit")
    how = f"container {name} ends with exit code {ended.get('exitCode')} each time it is started"
    lines = last_lines(str(ended.get("message", "")))
    return Trouble(CRASHING, f"{how}; the end of its log: {lines}" if lines else how)


def _cause_of_pull(message: str) -> str:
    return _RPC.sub("", _BACK_OFF.sub("", message))[:_CAUSE_BOUND]


def _after(cause: str) -> str:
    return f": {cause}" if cause else ""
