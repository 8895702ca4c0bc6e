"""The scheduler's pass: one at a time, over a snapshot of all runnable jobs and all servers."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import LABEL_COMPONENT
from comfyard.controller.job_status import assigned, waiting
from comfyard.controller.pools import Pool, Server, observe_server
from comfyard.controller.resources.access import COMPONENT_SERVER
from comfyard.controller.resources.server_pod import build_server_pod
from comfyard.controller.scheduler import schedule
from comfyard.kube.errors import ApiError, ConflictError
from comfyard.kube.kinds import GENERATION_JOB, HARDWARE_PROFILE, POD
from comfyard.runtime.cache import Key, key_of
from comfyard.runtime.context import SCHEDULER, Context, Refusal, Runnable, Task, now
from comfyard.runtime.node_reports import ensure_report

log = logging.getLogger(__name__)

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels, no digits that look like letters: what Kubernetes names its pods with."""
_SUFFIX_LENGTH = 5
_GROW_RETRY_SECONDS = 15


def observe_servers(ctx: Context) -> dict[Key, Server]:
    """All server pods, by namespace and name."""
    index = ctx.cache.jobs
    found = ctx.cache.select(POD, labels={LABEL_COMPONENT: COMPONENT_SERVER})
    return {
        key_of(pod): observe_server(pod, index.by_server.get(key_of(pod)), index.last_end.get(key_of(pod)))
        for pod in found
    }


def observe_one(ctx: Context, key: Key) -> Server | None:
    """One server pod, if it is there."""
    pod, index = ctx.cache.get(POD, *key), ctx.cache.jobs
    return observe_server(pod, index.by_server.get(key), index.last_end.get(key)) if pod else None


async def run_scheduler(ctx: Context) -> None:
    """Decide, then carry everything out at once; what fails comes back with the next pass."""
    profiles = ctx.cache.read_all(HardwareProfile, HARDWARE_PROFILE)
    async with ctx.assigning:
        runnable = ctx.waiting()
        demands = [r.demand for r in runnable.values() if r.demand.pool.profile in profiles]
        result = schedule(demands, list(observe_servers(ctx).values()), profiles, now())
        for namespace in {key[0] for key in result.assign}:
            await ctx.ensure_access(namespace)
        steps: list[Awaitable[None]] = [_assign(ctx, key, runnable[key], s) for key, s in result.assign.items()]
        steps += [_wait(ctx, key, runnable[key], message) for key, message in result.waiting.items()]
        steps += [_retire(ctx, server) for server in result.retire]
        done = await asyncio.gather(*steps, return_exceptions=True)  # none goes on once the lock is given back
    for error in done:
        if error is not None:
            raise error
    for pool in result.grow:
        await _grow(ctx, pool, profiles[pool.profile])
    for name in {s.profile for s in result.retire} | {p.profile for p in result.grow}:
        ctx.queue.add(Task(HARDWARE_PROFILE.kind, "", name))
    if result.wake_after is not None:
        ctx.queue.add_after(SCHEDULER, result.wake_after)


async def _assign(ctx: Context, key: Key, runnable: Runnable, server: Server) -> None:
    ctx.runnable.pop(key, None)
    await _write(ctx, key, runnable, assigned(runnable.job, runnable.accepted, runnable.receipt, server, now()))


async def _wait(ctx: Context, key: Key, runnable: Runnable, message: str) -> None:
    refused = ctx.refused.get(runnable.demand.pool.name)
    text = f"{message}: {refused.message}" if refused else message
    status = waiting(runnable.job, runnable.accepted, "Queued", "WaitingForServer", text, now())
    await _write(ctx, key, runnable, status)


async def _write(ctx: Context, key: Key, runnable: Runnable, status: dict[str, Any]) -> None:
    """Write against the version that the decision was made from: a job that was suspended since is not assigned."""
    try:
        await ctx.write_status(GENERATION_JOB, runnable.obj, status)
    except ConflictError:
        ctx.queue.add(Task(GENERATION_JOB.kind, *key))


async def _retire(ctx: Context, server: Server) -> None:
    log.info("server %s/%s has been idle for long enough", server.namespace, server.name)
    await ctx.end(POD, server.namespace, server.name)  # so it gets no job


async def _grow(ctx: Context, pool: Pool, profile: HardwareProfile) -> None:
    refused = ctx.refused.get(pool.name)
    if refused and now() < refused.retry_at:
        return
    suffix = "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(_SUFFIX_LENGTH))
    try:
        await ensure_report(ctx, pool, profile)
        await ctx.ensure_access(pool.namespace)
        if pool.results_claim:
            await ctx.ensure_results_claim(pool.namespace, pool.results_claim)
        await ctx.create(POD, build_server_pod(pool, profile, suffix, ctx.settings))
        ctx.refused.pop(pool.name, None)
    except ApiError as error:
        log.warning("no server for pool %s/%s: %s", pool.namespace, pool.name, error)
        message = str(error).replace(f"{pool.name}-{suffix}", pool.name)
        ctx.refused[pool.name] = Refusal(message, now() + timedelta(seconds=_GROW_RETRY_SECONDS))
        ctx.queue.add(SCHEDULER)  # the waiting jobs are told
        ctx.queue.add_after(SCHEDULER, _GROW_RETRY_SECONDS)
