"""The scheduler's pass: one at a time, over the jobs that wait and all servers."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, NamedTuple

from comfyard.api.generation_job import GenerationJob
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.job_status import assigned
from comfyard.controller.pools import Server
from comfyard.controller.scheduler import Schedule, Snapshot, schedule
from comfyard.controller.trouble import Trouble
from comfyard.controller.warm_up import WarmUp
from comfyard.kube.errors import ConflictError
from comfyard.kube.kinds import GENERATION_JOB, HARDWARE_PROFILE, Obj
from comfyard.kube.rate_limit import Priority
from comfyard.runtime.cache import Key
from comfyard.runtime.context import SCHEDULER, WAITING, Context, Task, now
from comfyard.runtime.job_secrets import secrets_of_results
from comfyard.runtime.jobs import plan_job
from comfyard.runtime.servers import grow, observe_servers, retire
from comfyard.runtime.start_ups import look_at_start_ups

_PAUSE_SECONDS = 0.02
"""Between passes: many jobs that end or come within it are one pass. When nothing happened for so long, a pass is made
at once."""


class _Assignment(NamedTuple):
    """A job that gets a server: as it was seen, and the status that makes it so."""

    key: Key
    job: Obj
    status: dict[str, Any]


async def run_scheduler(ctx: Context) -> None:
    """Decide, then carry everything out at once; what fails comes back with the next pass."""
    moment = asyncio.get_running_loop().time()
    if moment < ctx.next_pass:
        ctx.queue.add_after(SCHEDULER, ctx.next_pass - moment, urgent=True)
        return
    ctx.next_pass = moment + _PAUSE_SECONDS
    profiles = ctx.cache.view(HardwareProfile, HARDWARE_PROFILE)
    async with ctx.assigning:
        servers = observe_servers(ctx)
        ctx.cache.jobs.forget_servers(servers)
        look_at_start_ups(ctx, servers.values(), profiles)
        result = schedule(_snapshot(ctx, servers.values(), profiles), now())
        _remember_reasons(ctx, result)
        assignments = [each for key, s in result.assign.items() if (each := await _prepare(ctx, key, s))]
        try:
            await _carry_out(ctx, assignments, result)
        finally:
            for each in assignments:
                ctx.starting.pop(each.key, None)  # what has become of it meanwhile was not looked at
                ctx.queue.add(Task(GENERATION_JOB.kind, *each.key), urgent=True)
    for pool in result.grow:
        await grow(ctx, pool, profiles[pool.profile])
    for name in {r.server.profile for r in result.retire} | {p.profile for p in result.grow}:
        ctx.queue.add(Task(HARDWARE_PROFILE.kind, "", name))
    if result.wake_after is not None:
        ctx.queue.add_after(SCHEDULER, result.wake_after)


def _snapshot(ctx: Context, servers: Iterable[Server], profiles: Mapping[str, HardwareProfile]) -> Snapshot:
    return Snapshot(
        queue=ctx.demands,
        servers=list(servers),
        profiles=profiles,
        limits=ctx.cache.limits,
        usage=_usage(ctx, profiles),
        seconds=ctx.cache.tally.seconds,
        warm={name: each.pool for name, each in ctx.warm_ups.items() if isinstance(each, WarmUp)},
        not_before=ctx.start_ups.not_before,
        broken=ctx.start_ups.broken,
    )


def _usage(ctx: Context, profiles: Mapping[str, HardwareProfile]) -> dict[str, float]:
    """GPU seconds that have ended, and those of jobs that are under way."""
    moment = now()
    used = ctx.cache.tally.usage.snapshot(moment)
    for (namespace, _), facts in ctx.cache.jobs.assigned.items():
        profile = profiles.get(facts.profile)
        if profile and facts.since:
            seconds = max(0.0, (moment - facts.since).total_seconds())
            used[namespace] = used.get(namespace, 0.0) + seconds * profile.spec.gpu.count
    return used


def _remember_reasons(ctx: Context, result: Schedule) -> None:
    """Why jobs wait; of a pool whose servers fail to start, that is said whatever else could be."""
    before = ctx.blocked
    ctx.blocked = {key: _with_trouble(why, ctx.start_ups.broken.get(key)) for key, why in result.blocked.items()}
    if ctx.blocked != before and ctx.blocked:
        ctx.queue.add_after(WAITING, 0)
    ctx.waits.assigned(len(result.assign))


def _with_trouble(why: str, broken: Trouble | None) -> str:
    """The same words before, while and after the next server is tried: each change of them is a write to all jobs."""
    return f"its servers do not start: {broken.message}" if broken else why


async def _prepare(ctx: Context, key: Key, server: Server) -> _Assignment | None:
    """Plan a job as things are now; from here until it is written, nobody else decides about it."""
    node_reports = await ctx.cache.nodes.of(key[0])
    demand, obj = ctx.demands.get(key), ctx.cache.get(GENERATION_JOB, *key)
    job = ctx.cache.read(GenerationJob, GENERATION_JOB, *key)
    ctx.demands.discard(key)
    ctx.waits.forget(key)
    plan = plan_job(ctx, obj, node_reports) if obj else None
    if not (obj and job and plan and plan.receipt) or plan.demand != demand:
        ctx.queue.add(Task(GENERATION_JOB.kind, *key), urgent=True)
        return None
    ctx.starting[key] = secrets_of_results(plan.status)
    return _Assignment(key, obj, assigned(job, plan.status, plan.receipt, server, now()))


async def _carry_out(ctx: Context, assignments: Iterable[_Assignment], result: Schedule) -> None:
    """Give out jobs and let servers go. No step goes on once the lock is given back."""
    for namespace in {each.key[0] for each in assignments}:
        await ctx.ensure_access(namespace)
    steps: list[Awaitable[None]] = [_assign(ctx, each) for each in assignments]
    steps += [retire(ctx, each) for each in result.retire]
    for error in await asyncio.gather(*steps, return_exceptions=True):
        if error is not None:
            raise error


async def _assign(ctx: Context, each: _Assignment) -> None:
    """Write against the version that the decision was made from: a job that was suspended since is not assigned."""
    try:
        await ctx.write_status(GENERATION_JOB, each.job, each.status, Priority.DECISION)
    except ConflictError:
        return  # it has changed, and is looked at again
