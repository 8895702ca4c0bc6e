"""observe → plan → execute for jobs: read the cache, ask the controller, carry out."""

from collections.abc import Mapping
from dataclasses import replace

from comfyard.api.generation_job import Assignment, Attempt, GenerationJob
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import ANNOTATION_OUTPUT
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller import jobs
from comfyard.controller.job_observed import Observed
from comfyard.controller.pools import Server
from comfyard.controller.queue import Demand
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
from comfyard.kube.rate_limit import Priority
from comfyard.runtime.cache import Key, key_of
from comfyard.runtime.context import SCHEDULER, WAITING, Context, Task, now
from comfyard.runtime.servers import observe_one
from comfyard.runtime.templates import accepted_template, kept_content
from comfyard.runtime.trimming import is_over, lacks_outputs
from comfyard.workflow.object_info import Knowledge

TELL_SECONDS = 1.0
"""Jobs that wait are told why so often."""


async def reconcile_job(ctx: Context, namespace: str, name: str) -> None:
    """Accept, let go of a lost server, end. A job that waits is left to the scheduler, and to who tells it why."""
    key = (namespace, name)
    if key in ctx.starting:
        return  # it is looked at again when that is written, or could not be
    await _fetch_sources(ctx, key)
    node_reports = await ctx.cache.nodes.of(namespace)
    obj = ctx.cache.get(GENERATION_JOB, namespace, name)
    plan = plan_job(ctx, obj, node_reports) if obj and not _is_settled(obj) else None
    if plan and plan.demand:
        _line_up(ctx, key, plan.demand)
    else:
        _leave_line(ctx, key)
    if obj is None or plan is None:
        return
    if plan.waits:
        ctx.waits.pending(key)
        ctx.queue.add(WAITING)
    elif not plan.demand:
        await _write_or_delete(ctx, obj, plan)
    if plan.after is not None:
        ctx.queue.add_after(Task(GENERATION_JOB.kind, namespace, name), plan.after)


def plan_job(ctx: Context, obj: Obj, node_reports: Mapping[str, Knowledge]) -> jobs.Plan | None:
    """What is to become of a job as things are now; None when it cannot be read."""
    job = ctx.cache.read(GenerationJob, GENERATION_JOB, *key_of(obj))
    return jobs.plan(job, obj.get("status", {}), _observe(ctx, job, node_reports), now()) if job else None


def _is_settled(obj: Obj) -> bool:
    """Whether nothing will become of a finished job: most jobs are so, and looked at again with each resync."""
    seen = obj.get("status", {}).get("observedGeneration") == obj["metadata"].get("generation")
    return is_over(obj) and seen and obj["spec"].get("ttlSecondsAfterFinished") is None


def _line_up(ctx: Context, key: Key, demand: Demand) -> None:
    if ctx.demands.get(key) == demand:
        return
    ctx.demands.put(demand)
    ctx.waits.queued(key)
    ctx.queue.add(SCHEDULER, urgent=True)
    ctx.queue.add_after(WAITING, TELL_SECONDS)


def _leave_line(ctx: Context, key: Key) -> None:
    ctx.waits.forget(key)
    if ctx.demands.get(key):
        ctx.demands.discard(key)
        ctx.queue.add(SCHEDULER, urgent=True)  # a server that was to start for it need not


async def _write_or_delete(ctx: Context, obj: Obj, plan: jobs.Plan) -> None:
    """Both on the condition that the job is as the plan has seen it. Raises ConflictError when it is not."""
    if not plan.delete:
        await ctx.write_status(GENERATION_JOB, obj, plan.status, Priority.DECISION)
        return
    meta = obj["metadata"]
    try:
        await ctx.client.delete(
            GENERATION_JOB, name_of(obj), namespace_of(obj), uid=meta["uid"], version=meta["resourceVersion"]
        )
    except NotFoundError:
        ctx.forget(GENERATION_JOB, key_of(obj))


async def _fetch_sources(ctx: Context, key: Key) -> None:
    """Read again what the jobs have made that it takes inputs from, if that was not kept."""
    facts = ctx.cache.jobs.unfinished.get(key)
    for name in facts.sources if facts else ():
        source = ctx.cache.get(GENERATION_JOB, key[0], name)
        if source and lacks_outputs(source):
            try:
                found = await ctx.client.get(GENERATION_JOB, name, key[0])
            except NotFoundError:
                continue  # its event tells
            ctx.cache.amend(GENERATION_JOB, found)


def observe_template(ctx: Context, namespace: str, name: str) -> Observed:
    """What is seen around any job of the template; its content only when the graph is there."""
    cache = ctx.cache
    template = accepted_template(ctx, namespace, name)
    about = (cache.get(NAMESPACE, "", namespace) or {}).get("metadata", {})
    return Observed(
        template=template,
        templates=cache.names(WORKFLOW_TEMPLATE, namespace),
        bundles=cache.view(ModelBundle, MODEL_BUNDLE, namespace),
        profiles=cache.view(HardwareProfile, HARDWARE_PROFILE),
        content=template.spec if template and template.spec.graph_from is None else None,
        server=None,
        claims=cache.names(PERSISTENT_VOLUME_CLAIM, namespace),
        results_claim=ctx.settings.results_claim,
        output_annotation=about.get("annotations", {}).get(ANNOTATION_OUTPUT),
        namespace_labels=about.get("labels", {}),
    )


def _observe(ctx: Context, job: GenerationJob, node_reports: Mapping[str, Knowledge]) -> Observed:
    namespace, index, status = job.metadata.namespace, ctx.cache.jobs, job.status
    seen = observe_template(ctx, namespace, job.spec.template.name)
    return replace(
        seen,
        content=kept_content(ctx, namespace, status.template.revision) if status.template else seen.content,
        server=_server(ctx, namespace, status.assignment),
        last_server=_server(ctx, namespace, status.attempts[-1] if status.attempts else None),
        last_end=index.load((namespace, status.assignment.server)).last_end if status.assignment else None,
        jobs=_sources(ctx, job),
        awaited=bool(index.takers.get((namespace, job.metadata.name))),
        node_reports=node_reports,
        broken=ctx.start_ups.broken_in(namespace),
    )


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
