"""observe → plan → execute for jobs, templates and profiles: read the cache, ask the controller, carry out."""

import logging

from comfyard.api.generation_job import GenerationJob
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import LABEL_TEMPLATE
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.controller import jobs, profiles, templates
from comfyard.kube.errors import NotFoundError
from comfyard.kube.kinds import (
    CONTROLLER_REVISION,
    GENERATION_JOB,
    HARDWARE_PROFILE,
    MODEL_BUNDLE,
    PERSISTENT_VOLUME_CLAIM,
    WORKFLOW_TEMPLATE,
    name_of,
)
from comfyard.runtime.cache import parse
from comfyard.runtime.context import SCHEDULER, Context, Runnable, Task, now
from comfyard.runtime.servers import observe_servers

log = logging.getLogger(__name__)


async def reconcile_job(ctx: Context, namespace: str, name: str) -> None:
    """Accept, let go of a lost server, end; a job that can run is left to the scheduler, which writes its status."""
    key = (namespace, name)
    obj = ctx.cache.get(GENERATION_JOB, namespace, name)
    job = parse(GenerationJob, obj) if obj else None
    if obj is None or job is None:
        ctx.runnable.pop(key, None)
        ctx.queue.add(SCHEDULER)
        return
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
    revision = None
    if job.status.template:
        revision = ctx.cache.get(CONTROLLER_REVISION, namespace, job.status.template.revision)
    server = None
    if job.status.assignment:
        server = observe_servers(ctx).get((namespace, job.status.assignment.server))
    return jobs.Observed(
        template=ctx.cache.read(WorkflowTemplate, WORKFLOW_TEMPLATE, namespace, job.spec.template.name),
        templates=[name_of(obj) for obj in ctx.cache.select(WORKFLOW_TEMPLATE, namespace)],
        bundles=ctx.cache.read_all(ModelBundle, MODEL_BUNDLE, namespace),
        profiles=ctx.cache.read_all(HardwareProfile, HARDWARE_PROFILE),
        revision=WorkflowTemplateSpec.model_validate(revision["data"]["spec"]) if revision else None,
        server=server,
        claims=frozenset(name_of(claim) for claim in ctx.cache.select(PERSISTENT_VOLUME_CLAIM, namespace)),
        results_claim=ctx.settings.results_claim,
    )


async def reconcile_template(ctx: Context, namespace: str, name: str) -> None:
    """Check, keep the revision, report; after the template is gone, its revisions go when no job needs them."""
    obj = ctx.cache.get(WORKFLOW_TEMPLATE, namespace, name)
    revisions = ctx.cache.select(CONTROLLER_REVISION, namespace, {LABEL_TEMPLATE: name})
    if obj is None:
        await _delete_revisions(ctx, namespace, templates.orphans(revisions, "", _needed_revisions(ctx, namespace)))
        return
    template = ctx.cache.read(WorkflowTemplate, WORKFLOW_TEMPLATE, namespace, name)
    if template is None:
        return
    bundles = ctx.cache.read_all(ModelBundle, MODEL_BUNDLE, namespace)
    plan = templates.plan(template, obj.get("status", {}), bundles, revisions, now())
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


async def reconcile_profile(ctx: Context, _namespace: str, name: str) -> None:
    """Count the servers. Changes that many jobs make are written together, at most every few seconds."""
    obj = ctx.cache.get(HARDWARE_PROFILE, "", name)
    profile = ctx.cache.read(HardwareProfile, HARDWARE_PROFILE, "", name)
    if obj is None or profile is None:
        return
    servers = [s for s in observe_servers(ctx).values() if s.profile == name]
    queued = sum(r.demand.pool.profile == name for r in ctx.runnable.values())
    await ctx.write_status(HARDWARE_PROFILE, obj, profiles.plan(profile, obj.get("status", {}), servers, queued, now()))
