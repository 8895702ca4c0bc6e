"""observe → plan → execute for jobs: read the cache, ask the controller, carry out."""

import logging
from collections.abc import Mapping

from comfyard.api.generation_job import Assignment, Attempt, GenerationJob
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import ANNOTATION_OUTPUT
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.controller import jobs
from comfyard.controller.job_observed import Observed
from comfyard.controller.pools import Server
from comfyard.kube.errors import NotFoundError
from comfyard.kube.kinds import (
    GENERATION_JOB,
    HARDWARE_PROFILE,
    MODEL_BUNDLE,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    WORKFLOW_TEMPLATE,
    Obj,
    name_of,
    namespace_of,
)
from comfyard.runtime.cache import key_of, parse
from comfyard.runtime.context import SCHEDULER, Context, Runnable, Task, now
from comfyard.runtime.servers import observe_one
from comfyard.runtime.templates import accepted_template, kept_content
from comfyard.workflow.object_info import Knowledge

log = logging.getLogger(__name__)


async def reconcile_job(ctx: Context, namespace: str, name: str) -> None:
    """Accept, let go of a lost server, end; a job that can run is left to the scheduler, which writes its status."""
    key = (namespace, name)
    node_reports = await ctx.cache.nodes.of(namespace)
    obj = ctx.cache.get(GENERATION_JOB, namespace, name)
    job = ctx.cache.jobs.unfinished.get(key) or (parse(GenerationJob, obj) if obj else None)
    if obj is None or job is None:
        ctx.runnable.pop(key, None)
        ctx.queue.add(SCHEDULER)
        return
    plan = jobs.plan(job, obj.get("status", {}), _observe(ctx, job, node_reports), now())
    if plan.demand and plan.receipt:
        ctx.runnable[key] = Runnable(plan.demand, obj, job, plan.status, plan.receipt)
    else:
        ctx.runnable.pop(key, None)
        await _write_or_delete(ctx, obj, plan)
    if plan.after is not None:
        ctx.queue.add_after(Task(GENERATION_JOB.kind, namespace, name), plan.after)
    ctx.queue.add(SCHEDULER)


async def _write_or_delete(ctx: Context, obj: Obj, plan: jobs.Plan) -> None:
    """Both on the condition that the job is as the plan has seen it. Raises ConflictError when it is not."""
    if not plan.delete:
        await ctx.write_status(GENERATION_JOB, obj, plan.status)
        return
    meta = obj["metadata"]
    try:
        await ctx.client.delete(
            GENERATION_JOB, name_of(obj), namespace_of(obj), uid=meta["uid"], version=meta["resourceVersion"]
        )
    except NotFoundError:
        ctx.cache.remove(GENERATION_JOB, key_of(obj))


def _observe(ctx: Context, job: GenerationJob, node_reports: Mapping[str, Knowledge]) -> Observed:
    namespace, cache = job.metadata.namespace, ctx.cache
    template = accepted_template(ctx, namespace, job.spec.template.name)
    return Observed(
        template=template,
        templates=[name_of(obj) for obj in cache.select(WORKFLOW_TEMPLATE, namespace)],
        bundles=cache.read_all(ModelBundle, MODEL_BUNDLE, namespace),
        profiles=cache.read_all(HardwareProfile, HARDWARE_PROFILE),
        content=_content(ctx, job, template),
        server=_server(ctx, namespace, job.status.assignment),
        last_server=_server(ctx, namespace, job.status.attempts[-1] if job.status.attempts else None),
        claims=frozenset(name_of(claim) for claim in cache.select(PERSISTENT_VOLUME_CLAIM, namespace)),
        results_claim=ctx.settings.results_claim,
        jobs=_sources(ctx, job),
        awaited=bool(cache.jobs.takers.get((namespace, job.metadata.name))),
        output_annotation=_annotation(ctx, namespace),
        node_reports=node_reports,
    )


def _content(ctx: Context, job: GenerationJob, template: WorkflowTemplate | None) -> WorkflowTemplateSpec | None:
    """What the job was accepted with; before that, what it would be accepted with, unless its graph is not there."""
    if job.status.template is None:
        return template.spec if template and template.spec.graph_from is None else None
    return kept_content(ctx, job.metadata.namespace, job.status.template.revision)


def _server(ctx: Context, namespace: str, held: Assignment | Attempt | None) -> Server | None:
    return observe_one(ctx, (namespace, held.server)) if held else None


def _sources(ctx: Context, job: GenerationJob) -> dict[str, GenerationJob]:
    """The jobs that it takes inputs from, and all that these wait for."""
    found: dict[str, GenerationJob] = {}
    todo = [job]
    while todo:
        for name in {given.job.name for given in todo.pop().spec.inputs if given.job} - found.keys():
            source = ctx.cache.read(GenerationJob, GENERATION_JOB, job.metadata.namespace, name)
            if source:
                found[name] = source
                todo.append(source)
    return found


def _annotation(ctx: Context, namespace: str) -> str | None:
    found = ctx.cache.get(NAMESPACE, "", namespace)
    annotation = found["metadata"].get("annotations", {}).get(ANNOTATION_OUTPUT) if found else None
    return None if annotation is None else str(annotation)
