"""The words are those of Kubernetes 1.34's volume controller and of provisioners."""

from typing import Any

import pytest

from comfyard.controller import claims
from comfyard.controller.trouble import Trouble

NO_CLASS = 'storageclass.storage.k8s.io "fast" not found'
NO_VOLUME = "no persistent volumes available for this claim and no storage class is set"
ONE_NODE = (
    'failed to provision volume with StorageClass "local-path": NodePath only supports ReadWriteOnce and '
    "ReadWriteOncePod (1.22+) access modes"
)
CSI_NEVER = 'failed to provision volume with StorageClass "ebs": rpc error: code = InvalidArgument desc = no'
CSI_LATER = 'failed to provision volume with StorageClass "ebs": rpc error: code = ResourceExhausted desc = quota'


def event(reason: str, message: str, last: str = "2026-01-02T03:04:05Z", **more: Any) -> dict[str, Any]:
    return {"metadata": {}, "reason": reason, "message": message, "lastTimestamp": last, **more}


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ProvisioningFailed", NO_CLASS),
        ("FailedBinding", NO_VOLUME),
        ("VolumeMismatch", 'Cannot bind to requested volume "v": requested PV is too small'),
        ("ProvisioningFailed", ONE_NODE),
        ("ProvisioningFailed", CSI_NEVER),
    ],
)
def test_a_claim_that_will_never_have_a_volume(reason: str, message: str) -> None:
    assert claims.pending_trouble([event(reason, message)]) == Trouble("ClaimUnbindable", message)


def test_a_claim_whose_volume_may_still_come() -> None:
    assert claims.pending_trouble([event("ProvisioningFailed", CSI_LATER)]) == Trouble("ClaimPending", CSI_LATER)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
        ("ExternalProvisioning", "Waiting for a volume to be created either by the external provisioner 'x'"),
        ("Provisioning", "External provisioner is provisioning volume for claim"),
    ],
)
def test_what_is_on_its_way_is_no_trouble(reason: str, message: str) -> None:
    assert claims.pending_trouble([event(reason, message)]) is None
    assert claims.pending_trouble([]) is None


def test_the_last_word_counts_whichever_field_it_is_dated_in() -> None:
    old = event("FailedBinding", "old", "2026-01-02T03:04:05Z")
    newer = event("ProvisioningFailed", "newer", "", eventTime="2026-01-02T03:04:06.000000Z")
    series = {"count": 4, "lastObservedTime": "2026-01-02T03:04:07.000000Z"}
    newest = event("ProvisioningFailed", "newest", "2026-01-02T03:04:01Z", series=series)
    assert claims.pending_trouble([newer, old]) == Trouble("ClaimPending", "newer")
    assert claims.pending_trouble([newest, old, newer]) == Trouble("ClaimPending", "newest")
