"""observe → plan → execute for sweeps: their jobs are made in batches, and counted in few writes."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from comfyard.api.generation_sweep import GenerationSweep
from comfyard.api.meta import FINALIZER_SWEEP
from comfyard.controller import sweeps
from comfyard.controller.resources.sweep_job import build_sweep_job
from comfyard.controller.sweep_jobs import observe_child
from comfyard.controller.trouble import Trouble
from comfyard.kube.errors import ForbiddenError, InvalidError, NotFoundError
from comfyard.kube.kinds import GENERATION_JOB, GENERATION_SWEEP, WORKFLOW_TEMPLATE, Obj, name_of, namespace_of
from comfyard.runtime.context import Context, Refusal, Task, now, refusal_key
from comfyard.runtime.templates import accepted_template

T = TypeVar("T")

_WRITE_SECONDS = 2.0
"""Counts alone are written at most this often: a thousand jobs that end are not a thousand writes."""

_RETRY_SECONDS = 15.0
"""A job that could not be made is asked for again after so long."""


async def reconcile_sweep(ctx: Context, namespace: str, name: str) -> None:
    """Count, report, and take one step with the jobs; after the sweep is gone, let its jobs go."""
    obj = ctx.cache.get(GENERATION_SWEEP, namespace, name)
    sweep = ctx.cache.read(GenerationSweep, GENERATION_SWEEP, namespace, name)
    if obj is None:
        ctx.sweeps_written.pop((namespace, name), None)
        ctx.refused.pop(refusal_key(GENERATION_SWEEP, {"metadata": {"namespace": namespace, "name": name}}), None)
        held = [child.name for child in ctx.cache.sweeps.children(namespace, name) if child.held]
        await _all(_release(ctx, namespace, job) for job in held[: sweeps.BATCH])
        if len(held) > sweeps.BATCH:
            ctx.queue.add(Task(GENERATION_SWEEP.kind, namespace, name))
        return
    if sweep is None:
        return
    plan = await _plan(ctx, obj, sweep)
    await _write(ctx, obj, plan.status)
    if await _execute(ctx, obj, sweep, plan):
        ctx.queue.add(Task(GENERATION_SWEEP.kind, namespace, name))


async def _plan(ctx: Context, obj: Obj, sweep: GenerationSweep) -> sweeps.Plan:
    namespace, name = namespace_of(obj), name_of(obj)
    template = sweep.spec.job_template.spec.template.name
    seen = sweeps.Observed(
        template=accepted_template(ctx, namespace, template),
        templates=[name_of(each) for each in ctx.cache.select(WORKFLOW_TEMPLATE, namespace)],
        children=ctx.cache.sweeps.children(namespace, name),
        trouble=_trouble(ctx, obj),
    )
    status = obj.get("status", {})
    if sweep.status.start_time is None:  # all sets are checked, which takes seconds for the largest sweeps
        return await asyncio.to_thread(sweeps.plan, sweep, status, seen, now())
    return sweeps.plan(sweep, status, seen, now())


def _trouble(ctx: Context, obj: Obj) -> Trouble | None:
    refused = ctx.refused.get(refusal_key(GENERATION_SWEEP, obj))
    return Trouble(refused.reason, refused.message) if refused else None


async def _write(ctx: Context, obj: Obj, status: Mapping[str, Any]) -> None:
    """Write the status, unless it can wait for what follows."""
    before = obj.get("status", {})
    if status == before:
        return
    key = (namespace_of(obj), name_of(obj))
    due = ctx.sweeps_written.get(key, 0) + _WRITE_SECONDS
    left = due - time.monotonic()
    if left > 0 and sweeps.may_wait(before, status):
        ctx.queue.add_after(Task(GENERATION_SWEEP.kind, *key), left)
        return
    await ctx.write_status(GENERATION_SWEEP, obj, status)
    ctx.sweeps_written[key] = time.monotonic()


async def _execute(ctx: Context, obj: Obj, sweep: GenerationSweep, plan: sweeps.Plan) -> bool:
    """Carry out one batch; whether there was anything to do."""
    namespace = namespace_of(obj)
    steps: list[Awaitable[None]] = [_release(ctx, namespace, name) for name in plan.release]
    steps += [ctx.end(GENERATION_JOB, namespace, name) for name in plan.delete]
    steps += [_suspend(ctx, namespace, name, suspend=True) for name in plan.suspend]
    steps += [_suspend(ctx, namespace, name, suspend=False) for name in plan.resume]
    await _all(steps)
    return await _create(ctx, obj, sweep, plan.create) or bool(steps)


async def _all(steps: Iterable[Awaitable[T]]) -> list[T]:
    """Take all steps at once. What was taken stays taken when one fails, and then raises."""
    done = await asyncio.gather(*steps, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return [each for each in done if not isinstance(each, BaseException)]


async def _release(ctx: Context, namespace: str, name: str) -> None:
    job = ctx.cache.get(GENERATION_JOB, namespace, name)
    if job is None:
        return
    rest = [each for each in job["metadata"]["finalizers"] if each != FINALIZER_SWEEP]
    written = await ctx.write_finalizers(GENERATION_JOB, job, rest)
    if written is None and ctx.cache.get(GENERATION_JOB, namespace, name) is job:  # gone; its event will tell
        ctx.amend(GENERATION_JOB, {**job, "metadata": {**job["metadata"], "finalizers": rest}})


async def _suspend(ctx: Context, namespace: str, name: str, *, suspend: bool) -> None:
    job = ctx.cache.get(GENERATION_JOB, namespace, name)
    if job is None:
        return
    version = str(job["metadata"]["resourceVersion"])
    with contextlib.suppress(NotFoundError):
        written = await ctx.client.patch(GENERATION_JOB, name, namespace, {"spec": {"suspend": suspend}}, version)
        ctx.take(GENERATION_JOB, written)


async def _create(ctx: Context, obj: Obj, sweep: GenerationSweep, indexes: Sequence[int]) -> bool:
    """Make the next jobs, if there are any and it is time for them; whether some were made.

    What keeps the first of them from being made is told in the sweep's status, until that one is made.
    """
    key, task = refusal_key(GENERATION_SWEEP, obj), Task(GENERATION_SWEEP.kind, namespace_of(obj), name_of(obj))
    refused = ctx.refused.get(key)
    left = (refused.retry_at - now()).total_seconds() if refused else 0
    if indexes and left > 0:
        ctx.queue.add_after(task, left)
    if not indexes or left > 0:
        return False
    refusals = [each for each in await _all(_create_one(ctx, sweep, index) for index in indexes) if each]
    if refusals:
        ctx.refused[key] = refusals[0]
    else:
        ctx.refused.pop(key, None)
    return True


async def _create_one(ctx: Context, sweep: GenerationSweep, index: int) -> Refusal | None:
    job = build_sweep_job(sweep, index)
    try:
        if await ctx.create(GENERATION_JOB, job) is None:
            return await _adopt(ctx, sweep, job)
    except InvalidError as error:
        message = f"{error}; correct jobTemplate in another sweep"
        return Refusal(message, _later(), sweeps.JOB_INVALID)
    except ForbiddenError as error:
        return Refusal(f"no job can be made: {error}", _later(), sweeps.JOB_REFUSED)
    return None


async def _adopt(ctx: Context, sweep: GenerationSweep, job: Obj) -> Refusal | None:
    """What has the name of the next job is that job, made by us already, or it is somebody else's."""
    name, namespace = name_of(job), namespace_of(job)
    try:
        found = await ctx.client.get(GENERATION_JOB, name, namespace)
    except NotFoundError:
        return None
    if observe_child(found).owner == sweep.metadata.uid:
        ctx.take(GENERATION_JOB, found)
        return None
    message = (
        f'generationjobs.comfyard.io "{name}" is there already and not of this sweep; '
        "delete it, or create the sweep under another name"
    )
    return Refusal(message, _later(), sweeps.NAME_TAKEN)


def _later() -> datetime:
    return now() + timedelta(seconds=_RETRY_SECONDS)
