"""What a PersistentVolumeClaim says of itself, and what was said about it: why it has no volume yet.

A claim's status says no more than Pending. The cause is in its events only, in the words of Kubernetes' volume
controller or of the storage class' provisioner.
"""

import re
from collections.abc import Sequence

from comfyard.controller.trouble import Trouble
from comfyard.kube.events import newest
from comfyard.kube.kinds import Obj

UNBINDABLE = "ClaimUnbindable"

_TELLING = frozenset({"FailedBinding", "ProvisioningFailed", "VolumeMismatch"})
_HOPELESS = frozenset({"FailedBinding", "VolumeMismatch"})
_HOPELESS_WORDS = re.compile(
    r'^storageclass\.storage\.k8s\.io ".*" not found$'  # the volume controller
    r"|\baccess ?modes?\b"  # provisioners that make volumes for one node only
    r"|code = InvalidArgument",  # CSI: the request will never be right
    re.IGNORECASE,
)


def is_bound(claim: Obj) -> bool:
    """Whether it has a volume."""
    return bool(claim.get("status", {}).get("phase") == "Bound")


def is_pending(claim: Obj) -> bool:
    """Whether it has no volume yet."""
    return bool(claim.get("status", {}).get("phase", "Pending") == "Pending")


def is_lost(claim: Obj) -> bool:
    """Whether the volume that it had is gone."""
    return bool(claim.get("status", {}).get("phase") == "Lost")


def is_deleting(claim: Obj) -> bool:
    """Whether it goes away as soon as no pod uses it."""
    return bool(claim["metadata"].get("deletionTimestamp"))


def pending_trouble(events: Sequence[Obj]) -> Trouble | None:
    """Why a claim without a volume does not get one, if its events tell; `ClaimUnbindable` when it never will.

    What else they tell is how it goes: that it waits for the first pod, that its volume is being made.
    """
    last = newest(events, _TELLING)
    if last is None:
        return None
    message = str(last.get("message", ""))
    hopeless = last["reason"] in _HOPELESS or _HOPELESS_WORDS.search(message)
    return Trouble(UNBINDABLE if hopeless else "ClaimPending", message)


def access_modes(claim: Obj) -> frozenset[str]:
    """What its volume can do; while it has none, what was asked for."""
    modes = claim.get("status", {}).get("accessModes") or claim.get("spec", {}).get("accessModes") or []
    return frozenset(map(str, modes))
