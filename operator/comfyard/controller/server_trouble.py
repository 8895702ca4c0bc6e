"""Why a server does not start, with what a person can do about it, and from when on it counts as failing to."""

import json
import re
from contextlib import suppress
from datetime import datetime, timedelta

from comfyard.api.attempts import OOM_KILLED, parse_time
from comfyard.controller import containers, pods
from comfyard.controller.trouble import Trouble
from comfyard.kube.kinds import Obj

AGENT = "agent"
"""The container beside ComfyUI. Only its words are taken for ours: custom nodes may write what they like."""

CUSTOM_NODE_FAILED = "CustomNodeFailed"

PATIENCE_SECONDS = 60
"""A server without a node, or whose volumes come late, may only have to wait for a cluster's autoscaler or for another
pod to go: it counts as failing after so long. What else is told here does not end by itself."""

_MESSAGE_BOUND = 1000

_FIXES = {
    pods.UNSCHEDULABLE: "add a node that fits, or ask for less in {profile}: spec.gpu, spec.placement, "
    "spec.server.resources",
    pods.CLAIM_NOT_FOUND: "create the claim",
    pods.CLAIM_NOT_BOUND: "`kubectl describe pvc` in the namespace says why",
    containers.IMAGE_PULL: "correct spec.server.image of {profile}, or name a Secret for its registry in "
    "spec.placement.imagePullSecrets",
    "InvalidImageName": "correct spec.server.image of {profile}",
    "ErrImageNeverPull": "bring the image to the node, or change spec.server.imagePullPolicy of {profile}",
    containers.CRASHING: "correct spec.server of {profile} (image, args, env), or the image",
    OOM_KILLED: "raise spec.server.resources.limits.memory of {profile}",
    "CreateContainerConfigError": "correct spec.server of {profile}",
    "CreateContainerError": "correct spec.server of {profile} (command, image)",
    "RunContainerError": "correct spec.server of {profile} (command, image)",
}

_ONE_POD = "ReadWriteOncePod"
_OF_THE_CLAIM = "a claim of access mode ReadWriteOncePod serves one pod at a time; use another access mode"
_ELSEWHERE = re.compile("pod affinity|volume node affinity|Multi-Attach")
_ONE_NODE = (
    "a claim that it mounts can be mounted on one node only, which has no room for it; add room there, or use "
    "claims of access mode ReadWriteMany"
)

_MAY_PASS = frozenset(
    {pods.UNSCHEDULABLE, pods.CLAIM_NOT_BOUND, "FailedMount", "FailedAttachVolume", "FailedMapVolume"}
)
_NO_FAILURE = frozenset({pods.WAITING_FOR_QUOTA, "SchedulingGated"})


def trouble(pod: Obj, profile: str, told: Trouble | None = None) -> Trouble | None:
    """Why a server that is not ready does not start; None when it says nothing, and may only take its time.

    Args:
        pod: The server.
        profile: The name of its profile.
        told: Why it is not set up on its node, as its events tell.
    """
    found = _of_agent(pod) or pods.trouble(pod) or (told if pods.is_being_set_up(pod) else None)
    if found is None:
        return None
    fix = _fix(found).format(profile=f"profile {profile}")
    message = f"{found.message[:_MESSAGE_BOUND]}; {fix}" if fix else found.message[:_MESSAGE_BOUND]
    return Trouble(found.reason, message, found.since)


def fails_at(pod: Obj, found: Trouble) -> datetime | None:
    """From when on a server with this trouble counts as one that cannot start; None: it only waits its turn."""
    if found.reason in _NO_FAILURE or (found.reason in _MAY_PASS and pods.starting_since(pod) is None):
        return None  # without a node, one in a queue of Kueue is Kueue's to give up
    began = found.since or parse_time(pod["metadata"]["creationTimestamp"])
    return began + timedelta(seconds=PATIENCE_SECONDS) if found.reason in _MAY_PASS else began


def may_pass(reason: str) -> bool:
    """Whether other servers of the pool may start although one has this trouble: a node may be on its way for each."""
    return reason in _MAY_PASS or reason in _NO_FAILURE


def _fix(found: Trouble) -> str:
    if _ONE_POD in found.message:
        return _OF_THE_CLAIM
    if _ELSEWHERE.search(found.message):
        return _ONE_NODE
    return _FIXES.get(found.reason, "")


def _of_agent(pod: Obj) -> Trouble | None:
    """What the agent has left as its last word, as JSON: that ComfyUI lacks custom nodes, and why."""
    for status in pods.container_statuses(pod):
        if status["name"] == AGENT and not status.get("ready"):
            with suppress(ValueError, KeyError, TypeError):
                said = json.loads(containers.last_end(status).get("message", ""))
                if said["reason"] == CUSTOM_NODE_FAILED:
                    why, _, traceback = str(said["message"]).partition("\n")
                    return Trouble(
                        CUSTOM_NODE_FAILED, " / ".join(filter(None, [why, containers.last_lines(traceback)]))
                    )
    return None
