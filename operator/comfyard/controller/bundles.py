"""What happens to a ModelBundle: which claim, and what the store sync's report means."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from comfyard.api.conditions import ConditionSet
from comfyard.api.model_bundle import ClaimTemplate, ModelBundle, ModelStatus
from comfyard.controller.settings import Settings
from comfyard.kube.kinds import Obj
from comfyard.workflow.digest import digest


@dataclass(frozen=True)
class Plan:
    """What to do about one bundle: the status that should be, and a claim to create first."""

    status: dict[str, Any]
    claim: ClaimTemplate | None = None


def claim_name(bundle: ModelBundle, settings: Settings) -> str:
    """The claim that holds the bundle's files."""
    if bundle.spec.store.claim_name:
        return bundle.spec.store.claim_name
    if bundle.spec.store.claim_template:
        return f"{bundle.metadata.name}-models"
    return settings.models_claim


def is_synced(bundle: ModelBundle) -> bool:
    """Whether the sync has settled every file of the bundle as it is now: there, or failed for good."""
    rows = bundle.status.models
    return (
        bundle.status.synced_generation == bundle.metadata.generation
        and {row.path for row in rows} == {model.path for model in bundle.spec.models}
        and all(row.state in {"Ready", "Failed"} for row in rows)
    )


def plan(
    bundle: ModelBundle,
    status: Mapping[str, Any],
    claim: Obj | None,
    sync_trouble: str | None,
    settings: Settings,
    now: datetime,
) -> Plan:
    """Conditions and digest from the claim and from what the sync reported.

    Args:
        bundle: The bundle.
        status: Its status as it was read.
        claim: The PersistentVolumeClaim, if it is there.
        sync_trouble: Why the sync's pod does not run, if it says so.
        settings: The operator's.
        now: The time.
    """
    conditions = ConditionSet(bundle.status.conditions, bundle.metadata.generation, now)
    name = claim_name(bundle, settings)
    to_create = None
    if claim is None and bundle.spec.store.claim_name:
        conditions.reconciling(
            "ClaimNotFound", f'PersistentVolumeClaim "{name}" (spec.store) does not exist; create it'
        )
    elif claim is None:
        to_create = bundle.spec.store.claim_template or settings.claim_template(settings.models_size)
        conditions.reconciling("ClaimPending", f"PersistentVolumeClaim {name} is being created")
    elif claim.get("status", {}).get("phase") == "Lost":
        conditions.stalled("ClaimLost", f"PersistentVolumeClaim {name} has lost its volume; restore it or use another")
    else:
        _judge_files(bundle, conditions, sync_trouble)
    after = {
        **status,
        "observedGeneration": bundle.metadata.generation,
        "claimName": name,
        "digest": _digest_of(bundle),
        "conditions": conditions.to_api(),
    }
    if bundle.status.synced_generation != bundle.metadata.generation:
        after["files"] = {"total": len(bundle.spec.models), "ready": 0}
    return Plan(after, to_create)


def _judge_files(bundle: ModelBundle, conditions: ConditionSet, sync_trouble: str | None) -> None:
    rows = bundle.status.models if bundle.status.synced_generation == bundle.metadata.generation else []
    failed = [row for row in rows if row.state == "Failed"]
    ready = [row for row in rows if row.state == "Ready"]
    total = len(bundle.spec.models)
    if is_synced(bundle) and failed:
        conditions.stalled(failed[0].reason or "Failed", "; ".join(f"{row.path}: {row.message}" for row in failed))
    elif is_synced(bundle):
        size = sum(row.size or 0 for row in ready)
        conditions.ready("Verified", f"{total} of {total} files, {_human(size)}, verified")
    elif sync_trouble:
        conditions.reconciling("SyncPending", f"the store sync does not run: {sync_trouble}")
    else:
        conditions.reconciling(*_on_the_way(rows, len(ready), total))


def _on_the_way(rows: list[ModelStatus], ready: int, total: int) -> tuple[str, str]:
    """Reason and message; no bytes in it, or every report would be one more write of the operator."""
    trouble = next((row for row in rows if row.reason), None)
    if trouble:
        return trouble.reason, f"{ready} of {total} files; {trouble.path}: {trouble.message}"
    return "Fetching", f"{ready} of {total} files"


def _digest_of(bundle: ModelBundle) -> str:
    rows = bundle.status.models
    if is_synced(bundle) and all(row.state == "Ready" for row in rows):
        return digest({row.path: row.sha256 for row in rows})
    return ""


def _human(size: int) -> str:
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004 - SI units
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
