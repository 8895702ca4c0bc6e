"""What a pod says of itself, for people: why it does not run."""

import re
from collections.abc import Sequence
from typing import Any

from comfyard.api.attempts import OOM_KILLED, parse_time
from comfyard.controller import containers
from comfyard.controller.trouble import Trouble
from comfyard.kube.events import newest
from comfyard.kube.kinds import Obj

LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
"""On a pod: the LocalQueue of Kueue that it is in."""

_QUOTA_GATE = "kueue.x-k8s.io/admission"

UNSCHEDULABLE = "Unschedulable"
WAITING_FOR_QUOTA = "WaitingForQuota"
CLAIM_NOT_FOUND = "ClaimNotFound"
CLAIM_NOT_BOUND = "ClaimNotBound"

_NODES = re.compile(r"^0/\d+ nodes are available: ")
_PREEMPTION = re.compile(r"[.,]? *(no new claims to deallocate, )?preemption: .*$", re.DOTALL)
_COUNT = re.compile(r"^\d+ (node\(s\) )?")
_CAUSE_BOUND = 500
_NOT_SET_UP = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox"})
_SET_UP = frozenset({"Pulling", "Pulled", "Created"})
"""Events that come once volumes and network are there: a large image may be pulled for minutes from then on."""


def is_ready(pod: Obj) -> bool:
    """The Ready condition."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in _conditions(pod))


def ready_transition(pod: Obj) -> str | None:
    """When the Ready condition changed last."""
    return next((c.get("lastTransitionTime") for c in _conditions(pod) if c["type"] == "Ready"), None)


def waits_for_quota(pod: Obj) -> bool:
    """Whether Kueue holds it back until its queue has quota for it."""
    return any(gate["name"] == _QUOTA_GATE for gate in pod.get("spec", {}).get("schedulingGates") or [])


def starting_since(pod: Obj) -> str | None:
    """When its start-up began; None while that is up to Kueue.

    A pod in a queue begins once it has a node: its status does not tell when the gate was taken away. Whether one with
    quota and without a node is given up is Kueue's to decide (waitForPodsReady): a new pod would wait for quota again.
    """
    if LABEL_QUEUE not in pod["metadata"].get("labels", {}):
        return str(pod["metadata"]["creationTimestamp"])
    scheduled = (c for c in _conditions(pod) if c["type"] == "PodScheduled" and c["status"] == "True")
    return next((c.get("lastTransitionTime") for c in scheduled), None)


def is_over(pod: Obj) -> bool:
    """Whether its containers have ended and stay so."""
    return pod.get("status", {}).get("phase") in {"Failed", "Succeeded"}


def is_deleting(pod: Obj) -> bool:
    """Whether it is on the way out."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def killed_for_memory(pod: Obj, container: str) -> str | None:
    """When a container, present or former, was killed last as it took more memory than it may; None: it was not."""
    status = _status_of(pod, container)
    for state in (status.get("state", {}), status.get("lastState", {})):
        ended = state.get("terminated") or {}
        if ended.get("reason") == OOM_KILLED:
            return str(ended["finishedAt"])
    return None


def image_of(pod: Obj, container: str) -> str:
    """The image that a container runs, by digest as kubelet resolved it; empty while that is not known."""
    image = str(_status_of(pod, container).get("imageID", ""))
    return image.rpartition("://")[2] if "@" in image else ""


def started_at(pod: Obj, container: str) -> str | None:
    """When a container that runs was started; None: it does not run."""
    at = (_status_of(pod, container).get("state", {}).get("running") or {}).get("startedAt")
    return None if at is None else str(at)


def trouble(pod: Obj) -> Trouble | None:
    """Why the pod does not start, if it says so: no quota, unschedulable, no image, crashing."""
    if waits_for_quota(pod):
        queue = pod["metadata"].get("labels", {}).get(LABEL_QUEUE, "")
        return Trouble(WAITING_FOR_QUOTA, f"waiting for quota in queue {queue}")
    for condition in _conditions(pod):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            if condition.get("reason") == "SchedulingGated" and not pod.get("spec", {}).get("schedulingGates"):
                continue  # the gate is gone, and nobody has looked for a node yet
            return _unscheduled(condition)
    if is_over(pod):  # kubelet did not take it, or threw it out: a node that ends, or has no memory left
        status = pod["status"]
        reason = str(status.get("reason") or "Ended")
        return Trouble(reason, f"{reason}: {status.get('message', 'its containers have ended')}"[:_CAUSE_BOUND])
    for each in container_statuses(pod):
        found = containers.trouble(each, _image_in_spec(pod, each))
        if found:
            return found
    return None


def container_statuses(pod: Obj) -> list[dict[str, Any]]:
    """What kubelet tells of each container."""
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _status_of(pod: Obj, container: str) -> dict[str, Any]:
    """What kubelet tells of one container that is no init container; empty while it tells nothing."""
    every: list[dict[str, Any]] = pod.get("status", {}).get("containerStatuses") or []
    return next((each for each in every if each["name"] == container), {})


def is_being_set_up(pod: Obj) -> bool:
    """Whether it has a node, and none of its containers has run yet, for no reason that it tells of."""
    statuses = container_statuses(pod)
    scheduled = any(c["type"] == "PodScheduled" and c["status"] == "True" for c in _conditions(pod))
    waiting = (each.get("state", {}).get("waiting", {}).get("reason") for each in statuses)
    return scheduled and all(reason == "ContainerCreating" for reason in waiting) and not is_over(pod)


def set_up_trouble(events: Sequence[Obj]) -> Trouble | None:
    """Why a pod is not set up on its node, as its events tell: volumes, its network. Its status does not."""
    last = newest(events, _NOT_SET_UP | _SET_UP)
    if last is None or last["reason"] in _SET_UP:
        return None
    return Trouble(str(last["reason"]), str(last.get("message", ""))[:_CAUSE_BOUND])


def _unscheduled(condition: dict[str, Any]) -> Trouble:
    """The scheduler's verdict, without what changes all the time: how many nodes there are, and whom it would evict."""
    said = str(condition.get("message", ""))
    since = condition.get("lastTransitionTime")
    reason, message = _verdict(str(condition.get("reason") or UNSCHEDULABLE), said)
    return Trouble(reason, message[:_CAUSE_BOUND], parse_time(since) if since else None)


def _verdict(reason: str, said: str) -> tuple[str, str]:
    if "unbound immediate PersistentVolumeClaims" in said:
        return CLAIM_NOT_BOUND, "a claim that it mounts has no volume yet"
    claim = re.search(r'persistentvolumeclaim "([^"]+)" (not found|is being deleted)', said)
    if claim:
        return CLAIM_NOT_FOUND, f"PersistentVolumeClaim {claim[1]} {claim[2]}"
    short = _PREEMPTION.sub("", said)
    if not _NODES.match(short):
        return reason, f"{reason}: {short}"
    lacks = sorted({_COUNT.sub("", each) for each in _NODES.sub("", short).split(", ")})
    return reason, f"no node takes it: {', '.join(lacks).rstrip('.')}"


def _image_in_spec(pod: Obj, status: dict[str, Any]) -> str:
    spec = pod.get("spec", {})
    every = (*(spec.get("initContainers") or []), *(spec.get("containers") or []))
    named = (str(each.get("image", "")) for each in every if each["name"] == status["name"])
    return next(named, str(status.get("image", "")))


def _conditions(pod: Obj) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pod.get("status", {}).get("conditions") or []
    return found
