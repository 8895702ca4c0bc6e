"""observe → plan → execute for bundles, and for the store sync of the claims that they are on."""

import dataclasses
import logging

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import FINALIZER_STORE, LABEL_CLAIM
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller import bundles, claims, pods, stores
from comfyard.controller.resources.claims import build_claim
from comfyard.controller.resources.sync_job import build_inventory, build_sync_job, claim_label, sync_name
from comfyard.controller.trouble import Trouble
from comfyard.kube.errors import ConflictError, ForbiddenError, NotFoundError
from comfyard.kube.kinds import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    EVENT,
    HARDWARE_PROFILE,
    JOB,
    MODEL_BUNDLE,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    Obj,
    name_of,
    namespace_of,
)
from comfyard.runtime.context import STORE, Context, Refusal, Task, now, refusal_key
from comfyard.runtime.places import volumes_of

log = logging.getLogger(__name__)


async def reconcile_bundle(ctx: Context, namespace: str, name: str) -> None:
    """Make the claim, keep the finalizer, judge what the sync reported, and look after the claim's sync."""
    obj = ctx.cache.get(MODEL_BUNDLE, namespace, name)
    bundle = ctx.cache.read(ModelBundle, MODEL_BUNDLE, namespace, name)
    if obj is None or bundle is None:
        return
    claim = bundles.claim_name(bundle, ctx.settings)
    refusal = await _ensure_claim(ctx, obj, bundle, claim)
    seen = await _observe(ctx, bundle, claim, refusal)
    finalizers = bundles.finalizers(bundle, seen)
    if finalizers is not None:
        written = await ctx.write_finalizers(MODEL_BUNDLE, obj, finalizers)
        bundle = ctx.cache.read(ModelBundle, MODEL_BUNDLE, namespace, name)
        if written is None or bundle is None:
            return
        obj = written
    plan = await _write(ctx, obj, bundle, seen)
    for news in plan.news:
        await ctx.tell(MODEL_BUNDLE, obj, news.type, news.reason, news.message)
    if plan.after is not None:
        ctx.queue.add_after(Task(MODEL_BUNDLE.kind, namespace, name), plan.after)
    ctx.queue.add(Task(STORE, namespace, claim))


async def _ensure_claim(ctx: Context, obj: Obj, bundle: ModelBundle, name: str) -> Trouble | None:
    """Make the bundle's claim, if that is ours to do. Returns why the API server does not want it."""
    namespace = bundle.metadata.namespace
    claim = ctx.cache.get(PERSISTENT_VOLUME_CLAIM, namespace, name)
    template = bundles.claim_to_make(bundle, claim, ctx.settings)
    if template is None:
        return None
    made = await ctx.make(PERSISTENT_VOLUME_CLAIM, build_claim(name, namespace, template), bundles.REFUSED_SECONDS)
    if isinstance(made, Refusal):
        return Trouble("ClaimRefused", made.message)
    if made is not None:
        what = f"PersistentVolumeClaim {name}, {template.size}, {', '.join(template.access_modes)}"
        await ctx.tell(MODEL_BUNDLE, obj, "Normal", "ClaimCreated", what)
    return None


async def _observe(ctx: Context, bundle: ModelBundle, claim: str, refusal: Trouble | None) -> bundles.Observed:
    namespace = bundle.metadata.namespace
    found = ctx.cache.get(PERSISTENT_VOLUME_CLAIM, namespace, claim)
    job = ctx.cache.get(JOB, namespace, sync_name(claim))
    running = ctx.cache.select(POD, namespace, {LABEL_CLAIM: claim_label(claim)})
    starts = job is not None and not running and not stores.has_ended(job)
    return bundles.Observed(
        claim=found,
        claim_trouble=refusal or (await _claim_trouble(ctx, found) if found else None),
        sync_trouble=await _sync_trouble(ctx, namespace, claim, job if starts else None, running),
        sync_starts=starts,
        profiles=ctx.cache.read_all(HardwareProfile, HARDWARE_PROFILE),
        namespace_ends=await _ends(ctx, bundle),
    )


async def _claim_trouble(ctx: Context, claim: Obj) -> Trouble | None:
    if not claims.is_pending(claim):
        return None
    return claims.pending_trouble(await _events(ctx, claim))


async def _events(ctx: Context, about: Obj) -> list[Obj]:
    """What was told of an object. Nobody follows events: they are read for the few that wait for something."""
    found = await ctx.client.list(EVENT, namespace_of(about), fields={"involvedObject.uid": about["metadata"]["uid"]})
    return found.items


async def _ends(ctx: Context, bundle: ModelBundle) -> bool:
    """Whether a bundle that is to go should not wait for its files: its namespace goes, with the claim."""
    if not bundle.metadata.deletion_timestamp or FINALIZER_STORE not in bundle.metadata.finalizers:
        return False
    try:
        namespace = await ctx.client.get(NAMESPACE, bundle.metadata.namespace)
    except NotFoundError:
        return True
    return bool(namespace["metadata"].get("deletionTimestamp"))


async def _sync_trouble(
    ctx: Context, namespace: str, claim: str, starting: Obj | None, running: list[Obj]
) -> Trouble | None:
    """Why the sync does not run: its Job was refused, or is there (`starting`) and gets no pod, or its pod says so."""
    refused = ctx.refused.get(refusal_key(JOB, {"metadata": {"namespace": namespace, "name": sync_name(claim)}}))
    if refused:
        return Trouble("SyncPending", refused.message)
    if starting:
        return stores.start_trouble(starting, await _events(ctx, starting))
    return next((trouble for pod in running if not pods.is_over(pod) and (trouble := pods.trouble(pod))), None)


async def _write(ctx: Context, obj: Obj, bundle: ModelBundle, seen: bundles.Observed) -> bundles.Plan:
    """Plan and write the status while no job gets a server."""
    namespace, name = bundle.metadata.namespace, bundle.metadata.name
    async with ctx.assigning:
        seen = dataclasses.replace(seen, used=_is_used(ctx, namespace, name))
        plan = bundles.plan(bundle, obj.get("status", {}), seen, ctx.settings, now())
        await ctx.write_status(MODEL_BUNDLE, obj, plan.status)
    return plan


def _is_used(ctx: Context, namespace: str, name: str) -> bool:
    """Whether a job that has a server was accepted with a template that names the bundle."""
    found = (
        ctx.cache.get(CONTROLLER_REVISION, namespace, revision)
        for revision in ctx.cache.jobs.assigned_revisions(namespace)
    )
    return any(b["name"] == name for revision in found if revision for b in revision["data"]["spec"].get("bundles", []))


async def reconcile_store(ctx: Context, namespace: str, claim: str) -> None:
    """Run the store sync of a claim while a bundle on it needs it, and let it read what its bundles name."""
    job = ctx.cache.get(JOB, namespace, sync_name(claim))
    pvc = ctx.cache.get(PERSISTENT_VOLUME_CLAIM, namespace, claim)
    here = [
        bundle
        for bundle in ctx.cache.read_all(ModelBundle, MODEL_BUNDLE, namespace).values()
        if bundle.status.claim_name == claim
    ]
    bound = [name_of(c) for c in ctx.cache.select(PERSISTENT_VOLUME_CLAIM, namespace) if claims.is_bound(c)]
    plan = stores.plan(pvc, here, job, bound, now())
    if plan.step is stores.Step.DELETE:
        await ctx.delete(JOB, namespace, sync_name(claim))
    elif plan.step is stores.Step.CREATE and pvc:
        await _start(ctx, pvc, plan, here)
    elif job:
        await ctx.ensure_access(namespace)
    if plan.after is not None:
        ctx.queue.add_after(Task(STORE, namespace, claim), plan.after)


async def _start(ctx: Context, claim: Obj, plan: stores.Plan, here: list[ModelBundle]) -> None:
    """Make the Job and what it needs. When it is refused, or not any more, its bundles are told."""
    namespace, name = namespace_of(claim), name_of(claim)
    await ctx.ensure_access(namespace)
    try:
        await ctx.client.create(CONFIG_MAP, build_inventory(claim))
    except ConflictError:
        log.debug("the inventory of claim %s/%s is there", namespace, name)
    except ForbiddenError as error:
        log.warning("claim %s/%s gets no inventory: %s", namespace, name, error)
    job = build_sync_job(name, namespace, plan.sources, ctx.settings, volumes_of(ctx, namespace))
    before = ctx.refused.get(refusal_key(JOB, job))
    await ctx.make(JOB, job, bundles.REFUSED_SECONDS)
    refused = ctx.refused.get(refusal_key(JOB, job))
    if refused:
        ctx.queue.add_after(Task(STORE, namespace, name), bundles.REFUSED_SECONDS)
    if refused is not before:
        for bundle in here:
            ctx.queue.add(Task(MODEL_BUNDLE.kind, namespace, bundle.metadata.name))
