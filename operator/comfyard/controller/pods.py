"""What a pod says of itself, for people: why it does not run."""

from dataclasses import dataclass
from typing import Any

from comfyard.api.attempts import OOM_KILLED
from comfyard.kube.kinds import Obj

_BAD_WAITING = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
    }
)


@dataclass(frozen=True)
class Trouble:
    """Why something does not go on: one word in CamelCase, and what a person reads."""

    reason: str
    message: str


def is_ready(pod: Obj) -> bool:
    """The Ready condition."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in _conditions(pod))


def ready_transition(pod: Obj) -> str | None:
    """When the Ready condition changed last."""
    return next((c.get("lastTransitionTime") for c in _conditions(pod) if c["type"] == "Ready"), None)


def is_over(pod: Obj) -> bool:
    """Whether its containers have ended and stay so."""
    return pod.get("status", {}).get("phase") in {"Failed", "Succeeded"}


def is_deleting(pod: Obj) -> bool:
    """Whether it is on the way out."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def killed_for_memory(pod: Obj, container: str) -> str | None:
    """When a container, present or former, was killed last as it took more memory than it may; None: it was not."""
    for each in pod.get("status", {}).get("containerStatuses", []):
        for state in (each.get("state", {}), each.get("lastState", {})):
            ended = state.get("terminated") or {}
            if each["name"] == container and ended.get("reason") == OOM_KILLED:
                return str(ended["finishedAt"])
    return None


def image_of(pod: Obj, container: str) -> str:
    """The image that a container runs, by digest as kubelet resolved it; empty while that is not known."""
    for each in pod.get("status", {}).get("containerStatuses", []):
        if each["name"] == container and "@" in each.get("imageID", ""):
            return str(each["imageID"]).rpartition("://")[2]
    return ""


def trouble(pod: Obj) -> Trouble | None:
    """Why the pod does not start, if it says so: unschedulable, no image, crashing."""
    for condition in _conditions(pod):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            reason = condition.get("reason") or "Unschedulable"
            return Trouble(reason, f"{reason}: {condition.get('message', '')}")
    status = pod.get("status", {})
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        found = _container_trouble(container)
        if found:
            return found
    return None


def _container_trouble(container: dict[str, Any]) -> Trouble | None:
    waiting = container.get("state", {}).get("waiting") or {}
    if waiting.get("reason") not in _BAD_WAITING:
        return None
    ended = container.get("lastState", {}).get("terminated")
    last = f"; it ended with exit code {ended.get('exitCode')} ({ended.get('reason', '')})" if ended else ""
    message = f"container {container['name']}: {waiting['reason']}: {waiting.get('message', '')}{last}"
    return Trouble(waiting["reason"], message)


def _conditions(pod: Obj) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pod.get("status", {}).get("conditions") or []
    return found
