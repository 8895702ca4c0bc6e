"""What happens to a claim with models: a store sync runs while any of its bundles has something to do."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from comfyard.api.attempts import parse_time
from comfyard.api.meta import FINALIZER_STORE
from comfyard.api.model_bundle import ModelBundle, ModelFile
from comfyard.controller import claims
from comfyard.controller.reports import failed_reasons, is_synced
from comfyard.controller.resources.sync_job import sources_of
from comfyard.controller.trouble import Trouble
from comfyard.kube.events import newest
from comfyard.kube.kinds import Obj, name_of

_SETTLED_FOR_GOOD = frozenset({"DigestMismatch", "NotASafetensors", "PickleRefused", "UnsafePath"})
"""Failures that only another bundle heals. All others may end elsewhere: by a token, a licence, a bucket, a disk."""


class Step(Enum):
    """What to do about the sync's Job."""

    NOTHING = "nothing"
    CREATE = "create"
    DELETE = "delete"


@dataclass(frozen=True)
class Plan:
    """What to do about the sync of one claim.

    Attributes:
        sources: Claims that it reads files from, in order.
        after: Look again in so many seconds.
    """

    step: Step
    sources: tuple[str, ...] = ()
    after: float | None = None


def plan(
    claim: Obj | None, bundles: Sequence[ModelBundle], job: Obj | None, bound: Collection[str], now: datetime
) -> Plan:
    """Decide about the sync Job of one claim, from all bundles on it.

    A Job that has ended, or cannot reach what is wanted now, is deleted first when there is work: its name is the
    claim's, so that there are never two, and the API server keeps a Job's pod from being started anew.

    Args:
        claim: The claim, if it is there.
        bundles: All on this claim.
        job: The sync's, if it is there.
        bound: Names of the claims of the namespace that have a volume.
        now: The time.
    """
    live = [b for b in bundles if not b.metadata.deletion_timestamp or FINALIZER_STORE in b.metadata.finalizers]
    usable = claim is not None and not claims.is_deleting(claim) and not claims.is_lost(claim)
    own = {name_of(claim)} if claim else set()
    sources = tuple(sorted(_sources(live, own.union(bound))))
    due = min((when for b in live if (when := _due(b)) is not None), default=None)
    after = (due - now).total_seconds() if due and due > now else None
    if job and (job["metadata"].get("deletionTimestamp") or not (live and usable)):
        return Plan(Step.NOTHING if job["metadata"].get("deletionTimestamp") else Step.DELETE, sources, after)
    if not usable:
        return Plan(Step.NOTHING, sources, after)
    work = any(_has_work(b, live) for b in live)
    may_heal = any(_may_heal(b) for b in live)
    if job is None:
        step = Step.CREATE if work or may_heal or (due and due <= now) else Step.NOTHING
        return Plan(step, sources, after)
    stale = sources_of(job) != sources
    if not has_ended(job):
        return Plan(Step.DELETE if stale else Step.NOTHING, sources, after)
    # A Job that began when verification was due, and ended, has tried: the next one comes when this one is cleared.
    verify = due and parse_time(job["metadata"]["creationTimestamp"]) < due <= now
    return Plan(Step.DELETE if work or (stale and may_heal) or verify else Step.NOTHING, sources, after)


def start_trouble(job: Obj, events: Sequence[Obj]) -> Trouble | None:
    """Why a sync's Job has no pod, if its events tell: a quota, an admission policy. Job conditions do not."""
    last = newest(events, {"FailedCreate"})
    if last is None:
        return None
    # Each try names another pod, and each change of a message is a write.
    message = re.sub(rf"\b{re.escape(name_of(job))}-[a-z0-9]+", name_of(job), str(last.get("message", "")))
    return Trouble("SyncPending", message)


def _sources(bundles: Sequence[ModelBundle], bound: Collection[str]) -> set[str]:
    """Claims that files come from. One without a volume would keep the sync from running, and has no file."""
    named = {model.source.claim.name for b in bundles for model in b.wanted_models() if model.source.claim}
    return named & set(bound)


def _due(bundle: ModelBundle) -> datetime | None:
    """When the files of a bundle are to be read again. What is suspended could not be repaired."""
    return None if bundle.spec.suspend or bundle.metadata.deletion_timestamp else bundle.verification_due()


def _has_work(bundle: ModelBundle, live: Sequence[ModelBundle]) -> bool:
    """Whether the sync, which acts only on what the operator has observed, has something to do for a bundle."""
    return bundle.is_observed() and (not is_synced(bundle) or _has_conflict_that_is_over(bundle, live))


def _may_heal(bundle: ModelBundle) -> bool:
    return not bundle.spec.suspend and is_synced(bundle) and not failed_reasons(bundle) <= _SETTLED_FOR_GOOD


def has_ended(job: Obj) -> bool:
    """Whether a Job has come to its end, good or bad."""
    conditions = job.get("status", {}).get("conditions") or []
    return any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in conditions)


def _has_conflict_that_is_over(bundle: ModelBundle, bundles: Sequence[ModelBundle]) -> bool:
    """A path that another bundle was in the way of, and is not any more: nothing in this bundle changes to tell."""
    paths = {row.path for row in bundle.status.models if row.reason == "PathConflict"}
    others = [model for other in bundles if other is not bundle for model in other.wanted_models()]
    return any(not _is_contested(model, others) for model in bundle.wanted_models() if model.path in paths)


def _is_contested(model: ModelFile, others: Sequence[ModelFile]) -> bool:
    return any(
        (other.path == model.path and (other.sha256 is None or other.sha256 != model.sha256))
        or other.path.startswith(f"{model.path}/")
        or model.path.startswith(f"{other.path}/")
        for other in others
    )
