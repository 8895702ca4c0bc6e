"""Tells waiting jobs why they wait, and at which place."""

import asyncio
from typing import Any, NamedTuple

from comfyard.api.generation_job import GenerationJob
from comfyard.controller.job_status import waiting
from comfyard.controller.waiting_words import REASON, STATE, is_worth_telling, told, words
from comfyard.kube.errors import ConflictError
from comfyard.kube.kinds import GENERATION_JOB, Obj
from comfyard.kube.rate_limit import Priority
from comfyard.runtime.cache import Key, key_of
from comfyard.runtime.context import WAITING, Context, Task, now
from comfyard.runtime.jobs import TELL_SECONDS, plan_job


class _News(NamedTuple):
    """What a job is to be told."""

    job: Obj
    status: dict[str, Any]


async def reconcile_waiting(ctx: Context, _namespace: str, _name: str) -> None:
    """Tell as many as may be told now, and come back while anybody waits."""
    ctx.waits.see(ctx.demands, ctx.blocked)
    allowance = ctx.waits.allowance()
    news: list[_News] = []
    for key in ctx.waits.due(ctx.demands):
        if len(news) >= allowance:
            break
        found = await _news_of(ctx, key)
        if found:
            news.append(found)
        await asyncio.sleep(0)  # most need no words, and to find that out needs no I/O
    ctx.waits.spend(len(news))
    await asyncio.gather(*(_tell(ctx, each) for each in news))
    if len(ctx.waits) or len(ctx.demands):
        ctx.queue.add_after(WAITING, TELL_SECONDS)


async def _news_of(ctx: Context, key: Key) -> _News | None:
    """What a job is to be told; None: nothing, or it is not known yet."""
    obj = ctx.cache.get(GENERATION_JOB, *key)
    if obj is None or key in ctx.starting:
        return None
    place = _place(ctx, key, obj)
    if ctx.demands.get(key) and place is None:
        return None
    plan = plan_job(ctx, obj, await ctx.cache.nodes.of(key[0]))
    if plan and plan.waits:
        return _News(obj, plan.status) if plan.status != obj.get("status", {}) else None
    job = ctx.cache.read(GenerationJob, GENERATION_JOB, *key)
    if job is None or plan is None or plan.demand != ctx.demands.get(key) or place is None:
        ctx.queue.add(Task(GENERATION_JOB.kind, *key))  # it does not wait any more, or for something else
        return None
    return _News(obj, waiting(job, plan.status, STATE, REASON, place, now()))


def _place(ctx: Context, key: Key, obj: Obj) -> str | None:
    """Where a job stands in line and why, in words; None when it does not, or has been told as much."""
    demand = ctx.demands.get(key)
    why = ctx.blocked.get((demand.pool.namespace, demand.pool.name)) if demand else None
    if demand is None or why is None:
        return None
    place = ctx.demands.place(key)
    if not is_worth_telling(told(obj.get("status", {})), place, why):
        return None
    return words(demand, place, ctx.demands.waiting_for(demand.pool.namespace, demand.pool.profile), why)


async def _tell(ctx: Context, news: _News) -> None:
    try:
        await ctx.write_status(GENERATION_JOB, news.job, news.status, Priority.TEXT)
    except ConflictError:
        ctx.queue.add(Task(GENERATION_JOB.kind, *key_of(news.job)))
