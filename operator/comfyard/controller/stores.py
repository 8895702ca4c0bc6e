"""What happens to a claim with models: a store sync runs while any of its bundles has something to do."""

from collections.abc import Sequence
from enum import Enum

from comfyard.api.model_bundle import ModelBundle
from comfyard.controller.bundles import is_synced
from comfyard.kube.kinds import Obj


class Step(Enum):
    """What to do about the sync's Job."""

    NOTHING = "nothing"
    CREATE = "create"
    DELETE = "delete"


def plan(bundles: Sequence[ModelBundle], job: Obj | None) -> Step:
    """Decide about the sync Job of one claim, which is there, from all bundles on it.

    A Job that has ended while there is work again is deleted first: its name is the claim's, so that there are never
    two, and the API server keeps a Job's pod from being started anew.
    """
    work = any(not is_synced(b) and not b.metadata.deletion_timestamp for b in bundles)
    if job is None:
        return Step.CREATE if work else Step.NOTHING
    if job["metadata"].get("deletionTimestamp"):
        return Step.NOTHING
    if not bundles or (work and _has_ended(job)):
        return Step.DELETE
    return Step.NOTHING


def _has_ended(job: Obj) -> bool:
    conditions = job.get("status", {}).get("conditions") or []
    return any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in conditions)
