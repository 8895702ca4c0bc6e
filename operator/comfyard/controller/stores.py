"""What happens to a claim with models: a store sync runs while any of its bundles has something to do."""

from collections.abc import Sequence
from enum import Enum

from comfyard.api.model_bundle import ModelBundle, ModelFile
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
    live = [b for b in bundles if not b.metadata.deletion_timestamp]
    work = any(not is_synced(b) or _has_conflict_that_is_over(b, live) for b in live)
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


def _has_conflict_that_is_over(bundle: ModelBundle, bundles: Sequence[ModelBundle]) -> bool:
    """A path that another bundle was in the way of, and is not any more: nothing in this bundle changes to tell."""
    paths = {row.path for row in bundle.status.models if row.reason == "PathConflict"}
    others = [model for other in bundles if other is not bundle for model in other.spec.models]
    return any(not _is_contested(model, others) for model in bundle.spec.models if model.path in paths)


def _is_contested(model: ModelFile, others: Sequence[ModelFile]) -> bool:
    return any(
        (other.path == model.path and (other.sha256 is None or other.sha256 != model.sha256))
        or other.path.startswith(f"{model.path}/")
        or model.path.startswith(f"{other.path}/")
        for other in others
    )
