"""observe → plan → execute, for each kind: read the cache, ask the controller, carry out."""

import logging

from comfyard.api.generation_job import GenerationJob
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import LABEL_CLAIM, LABEL_TEMPLATE
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.controller import bundles, jobs, pods, profiles, stores, templates
from comfyard.controller.resources.claims import build_claim
from comfyard.controller.resources.sync_job import build_sync_job, claim_label, sync_name
from comfyard.kube.errors import NotFoundError
from comfyard.kube.kinds import (
    CONTROLLER_REVISION,
    GENERATION_JOB,
    HARDWARE_PROFILE,
    JOB,
    MODEL_BUNDLE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    WORKFLOW_TEMPLATE,
    name_of,
)
from comfyard.runtime.context import SCHEDULER, STORE, Context, Runnable, Task, now
from comfyard.runtime.servers import observe_servers

log = logging.getLogger(__name__)


async def reconcile_job(ctx: Context, namespace: str, name: str) -> None:
    """Accept, let go of a lost server, end; a job that can run is left to the scheduler, which writes its status."""
    key = (namespace, name)
    obj = ctx.cache.get(GENERATION_JOB, namespace, name)
    if obj is None:
        ctx.runnable.pop(key, None)
        ctx.queue.add(SCHEDULER)
        return
    job = GenerationJob.model_validate(obj)
    plan = jobs.plan(job, obj.get("status", {}), _observe_job(ctx, job), now())
    if plan.demand:
        ctx.runnable[key] = Runnable(plan.demand, obj, plan.status)
    else:
        ctx.runnable.pop(key, None)
        await ctx.write_status(GENERATION_JOB, obj, plan.status)
    if plan.after is not None:
        ctx.queue.add_after(Task(GENERATION_JOB.kind, namespace, name), plan.after)
    ctx.queue.add(SCHEDULER)


def _observe_job(ctx: Context, job: GenerationJob) -> jobs.Observed:
    namespace = job.metadata.namespace
    template = ctx.cache.get(WORKFLOW_TEMPLATE, namespace, job.spec.template.name)
    revision = None
    if job.status.template:
        revision = ctx.cache.get(CONTROLLER_REVISION, namespace, job.status.template.revision)
    server = None
    if job.status.assignment:
        server = observe_servers(ctx).get((namespace, job.status.assignment.server))
    return jobs.Observed(
        template=WorkflowTemplate.model_validate(template) if template else None,
        templates=[name_of(obj) for obj in ctx.cache.select(WORKFLOW_TEMPLATE, namespace)],
        bundles=_bundles(ctx, namespace),
        profiles={name_of(p): HardwareProfile.model_validate(p) for p in ctx.cache.select(HARDWARE_PROFILE)},
        revision=WorkflowTemplateSpec.model_validate(revision["data"]["spec"]) if revision else None,
        server=server,
        claims=frozenset(name_of(claim) for claim in ctx.cache.select(PERSISTENT_VOLUME_CLAIM, namespace)),
        results_claim=ctx.settings.results_claim,
    )


def _bundles(ctx: Context, namespace: str) -> dict[str, ModelBundle]:
    return {name_of(obj): ModelBundle.model_validate(obj) for obj in ctx.cache.select(MODEL_BUNDLE, namespace)}


async def reconcile_template(ctx: Context, namespace: str, name: str) -> None:
    """Check, keep the revision, report; after the template is gone, its revisions go when no job needs them."""
    obj = ctx.cache.get(WORKFLOW_TEMPLATE, namespace, name)
    revisions = ctx.cache.select(CONTROLLER_REVISION, namespace, {LABEL_TEMPLATE: name})
    if obj is None:
        await _delete_revisions(ctx, namespace, templates.orphans(revisions, "", _needed_revisions(ctx, namespace)))
        return
    template = WorkflowTemplate.model_validate(obj)
    plan = templates.plan(template, obj.get("status", {}), _bundles(ctx, namespace), revisions, now())
    if plan.revision:
        await ctx.create(CONTROLLER_REVISION, plan.revision)
    await ctx.write_status(WORKFLOW_TEMPLATE, obj, plan.status)


def _needed_revisions(ctx: Context, namespace: str) -> frozenset[str]:
    return frozenset(
        job.status.template.revision
        for (where, _), job in ctx.cache.jobs.unfinished.items()
        if where == namespace and job.status.template
    )


async def _delete_revisions(ctx: Context, namespace: str, names: list[str]) -> None:
    for name in names:
        try:
            await ctx.client.delete(CONTROLLER_REVISION, name, namespace)
        except NotFoundError:
            log.debug("revision %s/%s was gone", namespace, name)
        ctx.cache.remove(CONTROLLER_REVISION, (namespace, name))


async def reconcile_bundle(ctx: Context, namespace: str, name: str) -> None:
    """Make the claim, judge what the sync reported, and look after the claim's sync."""
    obj = ctx.cache.get(MODEL_BUNDLE, namespace, name)
    if obj is None:
        for bundle in _bundles(ctx, namespace).values():
            ctx.queue.add(Task(STORE, namespace, bundles.claim_name(bundle, ctx.settings)))
        return
    bundle = ModelBundle.model_validate(obj)
    claim = bundles.claim_name(bundle, ctx.settings)
    pvc = ctx.cache.get(PERSISTENT_VOLUME_CLAIM, namespace, claim)
    plan = bundles.plan(bundle, obj.get("status", {}), pvc, _sync_trouble(ctx, namespace, claim), ctx.settings, now())
    if plan.claim:
        await ctx.create(PERSISTENT_VOLUME_CLAIM, build_claim(claim, namespace, plan.claim))
    await ctx.write_status(MODEL_BUNDLE, obj, plan.status)
    ctx.queue.add(Task(STORE, namespace, claim))


def _sync_trouble(ctx: Context, namespace: str, claim: str) -> str | None:
    found = ctx.cache.select(POD, namespace, {LABEL_CLAIM: claim_label(claim)})
    return next((text for pod in found if not pods.is_over(pod) for text in [pods.trouble(pod)] if text), None)


async def reconcile_store(ctx: Context, namespace: str, claim: str) -> None:
    """Run the store sync of a claim while a bundle on it needs it."""
    if ctx.cache.get(PERSISTENT_VOLUME_CLAIM, namespace, claim) is None:
        return
    here = [b for b in _bundles(ctx, namespace).values() if b.status.claim_name == claim]
    job = ctx.cache.get(JOB, namespace, sync_name(claim))
    step = stores.plan(here, job)
    if step is stores.Step.CREATE:
        await ctx.ensure_access(namespace)
        await ctx.create(JOB, build_sync_job(claim, namespace, ctx.settings))
    elif step is stores.Step.DELETE:
        await ctx.client.delete(JOB, sync_name(claim), namespace)


async def reconcile_profile(ctx: Context, _namespace: str, name: str) -> None:
    """Count the servers. Changes that many jobs make are written together, at most every few seconds."""
    obj = ctx.cache.get(HARDWARE_PROFILE, "", name)
    if obj is None:
        return
    profile = HardwareProfile.model_validate(obj)
    servers = [s for s in observe_servers(ctx).values() if s.profile == name]
    queued = sum(r.demand.pool.profile == name for r in ctx.runnable.values())
    await ctx.write_status(HARDWARE_PROFILE, obj, profiles.plan(profile, obj.get("status", {}), servers, queued, now()))
