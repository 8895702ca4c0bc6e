"""What happens to a ModelBundle: which claim, which of its files, may it go, and what the store sync's report means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from comfyard.api.conditions import READY, STALLED, ConditionSet, find
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import FINALIZER_STORE
from comfyard.api.model_bundle import ClaimTemplate, ModelBundle
from comfyard.controller import claims, reports
from comfyard.controller.settings import Settings
from comfyard.controller.trouble import Trouble
from comfyard.kube.events import EventType
from comfyard.kube.kinds import Obj

_LOOK_SECONDS = 10.0
"""Until the next look at what no watch tells of: the events of a claim or a Job, the end of a namespace."""

REFUSED_SECONDS = 10.0
"""Until the API server is asked again for what it has refused."""


@dataclass(frozen=True)
class Observed:
    """What a decision about one bundle is made from.

    Attributes:
        claim: The PersistentVolumeClaim, if it is there.
        claim_trouble: Why it could not be made, or has no volume.
        sync_trouble: Why the sync does not run, if that is known.
        sync_starts: Whether the sync's Job is there, and no pod of it yet.
        profiles: By name.
        used: Whether a job that has a server uses the bundle.
        namespace_ends: Whether the namespace is being deleted; only known of bundles that are.
    """

    claim: Obj | None = None
    claim_trouble: Trouble | None = None
    sync_trouble: Trouble | None = None
    sync_starts: bool = False
    profiles: Mapping[str, HardwareProfile] = field(default_factory=dict)
    used: bool = False
    namespace_ends: bool = False


@dataclass(frozen=True)
class News:
    """What a person should hear of."""

    type: EventType
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What to do about one bundle.

    Attributes:
        status: What the status should be.
        news: What to tell once it is.
        after: Look again in so many seconds.
    """

    status: dict[str, Any]
    news: Sequence[News] = ()
    after: float | None = None


def claim_name(bundle: ModelBundle, settings: Settings) -> str:
    """The claim that holds the bundle's files."""
    if bundle.spec.store.claim_name:
        return bundle.spec.store.claim_name
    if bundle.spec.store.claim_template:
        return f"{bundle.metadata.name}-models"
    return settings.models_claim


def claim_to_make(bundle: ModelBundle, claim: Obj | None, settings: Settings) -> ClaimTemplate | None:
    """The claim that is to be made for the bundle: not for one that goes, and never one that the user names."""
    if claim or bundle.metadata.deletion_timestamp or bundle.spec.store.claim_name:
        return None
    return bundle.spec.store.claim_template or settings.claim_template(settings.models_size)


def finalizers(bundle: ModelBundle, seen: Observed) -> list[str] | None:
    """What metadata.finalizers should be, if not what it is.

    With deletionPolicy Delete ours is there before the sync may place a file, and goes when no file is left, or when
    files cannot be left: nobody waits for a claim that is gone or goes.
    """
    there = bundle.metadata.finalizers
    wanted = bundle.spec.deletion_policy == "Delete"
    if bundle.metadata.deletion_timestamp:  # no finalizer may be added any more
        wanted = wanted and FINALIZER_STORE in there and not _may_go(bundle, seen)
    if wanted == (FINALIZER_STORE in there):
        return None
    return [*there, FINALIZER_STORE] if wanted else [name for name in there if name != FINALIZER_STORE]


def _may_go(bundle: ModelBundle, seen: Observed) -> bool:
    placed = bundle.status.models or bundle.status.custom_nodes
    claim = seen.claim
    claim_ends = claim is None or claims.is_lost(claim) or claims.is_deleting(claim)
    return not placed or claim_ends or seen.namespace_ends


def plan(bundle: ModelBundle, status: Mapping[str, Any], seen: Observed, settings: Settings, now: datetime) -> Plan:
    """Decide from what was observed. `status` is the bundle's status as it was read, unknown fields included."""
    if bundle.metadata.deletion_timestamp and FINALIZER_STORE not in bundle.metadata.finalizers:
        return Plan(dict(status))
    conditions = ConditionSet(bundle.status.conditions, bundle.metadata.generation, now)
    absent = [name for name in bundle.spec.profiles if name not in seen.profiles]
    if absent and not bundle.metadata.deletion_timestamp:
        # The generation stays unobserved: nobody knows yet which of its files are wanted.
        conditions.reconciling("ProfileNotFound", _absent(absent, seen))
        return Plan({**status, "conditions": conditions.to_api()}, news=_news(bundle, conditions))
    bundle = _with_status(bundle, skipped=_skipped(bundle, seen))
    own: dict[str, Any] = {}
    if _reported_on_another(bundle, seen.claim):
        bundle = _with_status(bundle, synced_generation=-1)
        own["syncedGeneration"] = -1
    if bundle.status.synced_generation != bundle.metadata.generation:
        own["files"] = {"total": len(bundle.wanted_models()), "ready": 0}
    after = _judge(bundle, seen, conditions, claim_name(bundle, settings))
    own |= {
        "observedGeneration": bundle.metadata.generation,
        "claimName": claim_name(bundle, settings),
        "skipped": bundle.status.skipped,
        "inUse": seen.used and (bundle.status.in_use or _holds_back(bundle)),
        "digest": reports.digest_of(bundle),
        "conditions": conditions.to_api(),
    }
    return Plan({**status, **own}, _news(bundle, conditions), after)


def _with_status(bundle: ModelBundle, **changes: Any) -> ModelBundle:  # noqa: ANN401 - fields of the status
    return bundle.model_copy(update={"status": bundle.status.model_copy(update=changes)})


def _reported_on_another(bundle: ModelBundle, claim: Obj | None) -> bool:
    """Whether the claim that the sync has told of is gone, with its files; another may have taken its name."""
    if claim is None:
        return True
    ready = find(bundle.status.conditions, READY)
    made = str(claim["metadata"].get("creationTimestamp", ""))
    return ready is not None and ready.status == "True" and made > ready.last_transition_time


def _absent(names: Sequence[str], seen: Observed) -> str:
    there = ", ".join(sorted(seen.profiles)) or "none"
    return (
        f"hardwareprofiles.comfyard.io {', '.join(names)} not found (there: {there}); "
        "create it, or correct spec.profiles"
    )


def _skipped(bundle: ModelBundle, seen: Observed) -> list[str]:
    """Paths that no profile of spec.profiles wants."""
    if bundle.metadata.deletion_timestamp or not bundle.spec.profiles:
        return []
    selections = [seen.profiles[name].spec.models for name in bundle.spec.profiles]
    return [m.path for m in bundle.spec.models if not any(each.wants(m.tags) for each in selections)]


def _holds_back(bundle: ModelBundle) -> bool:
    """Whether the sync has something to remove or to replace that a job may have open."""
    return bool(bundle.metadata.deletion_timestamp) or not reports.is_reported(bundle)


def _judge(bundle: ModelBundle, seen: Observed, conditions: ConditionSet, name: str) -> float | None:
    """Set the conditions. Returns in how many seconds to look again at what no watch tells of."""
    if bundle.metadata.deletion_timestamp:
        conditions.reconciling("Deleting", _deleting(seen, name))
        return _LOOK_SECONDS
    if seen.claim is None:
        return _judge_absent_claim(bundle, seen, conditions, name)
    if claims.is_deleting(seen.claim):
        conditions.reconciling("ClaimTerminating", f"PersistentVolumeClaim {name} is being deleted")
    elif claims.is_lost(seen.claim):
        conditions.stalled("ClaimLost", f"PersistentVolumeClaim {name} has lost its volume; restore it or use another")
    elif claims.is_pending(seen.claim) and not reports.is_reported(bundle):
        _judge_pending_claim(seen, conditions, name)
        return _LOOK_SECONDS
    else:
        reports.judge(bundle, conditions, seen.sync_trouble)
        return _LOOK_SECONDS if seen.sync_starts else None
    return None


def _judge_absent_claim(bundle: ModelBundle, seen: Observed, conditions: ConditionSet, name: str) -> float | None:
    if bundle.spec.store.claim_name:
        conditions.reconciling(
            "ClaimNotFound", f'PersistentVolumeClaim "{name}" (spec.store) does not exist; create it'
        )
        return None
    if seen.claim_trouble:
        words = f"PersistentVolumeClaim {name} was refused: {seen.claim_trouble.message}"
        conditions.stalled(seen.claim_trouble.reason, f"{words}; make room for it, or name another in spec.store")
        return REFUSED_SECONDS
    conditions.reconciling("ClaimPending", f"PersistentVolumeClaim {name} is being created")
    return _LOOK_SECONDS


def _judge_pending_claim(seen: Observed, conditions: ConditionSet, name: str) -> None:
    trouble = seen.claim_trouble
    if trouble and trouble.reason == claims.UNBINDABLE:
        words = f"PersistentVolumeClaim {name} gets no volume: {trouble.message}"
        conditions.stalled(trouble.reason, f"{words}; correct the claim or its storage class")
    elif trouble:
        conditions.reconciling("ClaimPending", f"PersistentVolumeClaim {name} has no volume yet: {trouble.message}")
    elif seen.sync_trouble and "PersistentVolumeClaim" not in seen.sync_trouble.message:
        conditions.reconciling(seen.sync_trouble.reason, f"the store sync does not run: {seen.sync_trouble.message}")
    else:
        conditions.reconciling("ClaimPending", f"PersistentVolumeClaim {name} has no volume yet")


def _deleting(seen: Observed, name: str) -> str:
    if seen.used:
        return f"jobs run with its files; these are removed from claim {name} when the jobs have ended"
    trouble = f": {seen.sync_trouble.message}" if seen.sync_trouble else ""
    return f"its files are removed from claim {name}; set spec.deletionPolicy to Retain to leave them{trouble}"


def _news(bundle: ModelBundle, conditions: ConditionSet) -> list[News]:
    """What becomes so with this pass, or for another reason than before."""
    news: list[News] = []
    kinds: dict[str, EventType] = {READY: "Normal", STALLED: "Warning"}
    for kind, event_type in kinds.items():
        before, now = find(bundle.status.conditions, kind), conditions.find(kind)
        if now is None or now.status != "True":
            continue
        if before is None or (before.status, before.reason) != ("True", now.reason):
            news.append(News(event_type, now.reason, now.message))
    return news
