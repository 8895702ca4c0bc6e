"""What is seen of servers that start, and whom it concerns when they fail to, or do not any more."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from comfyard.api.attempts import parse_time
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller import pods
from comfyard.controller.pools import Server
from comfyard.kube.kinds import EVENT, GENERATION_JOB, HARDWARE_PROFILE, POD, Obj, namespace_of
from comfyard.runtime.cache import key_of
from comfyard.runtime.context import SCHEDULER, Context, Task, now

_SET_UP_SECONDS = 15
"""A pod whose volumes and network are not there after so long may have something to tell."""

HEAR_SECONDS = 10
"""Until its events are read again."""


def look_at_start_ups(ctx: Context, servers: Iterable[Server], profiles: Mapping[str, HardwareProfile]) -> None:
    """Take in all servers; call it before each pass of the scheduler.

    When a pool fails to start, or does again, its profile tells so, and jobs that list several profiles may go
    elsewhere.
    """
    before = dict(ctx.start_ups.broken)
    ctx.start_ups.see(servers, profiles, now())
    tell_who_is_concerned(ctx, before.keys() ^ ctx.start_ups.broken.keys())
    if ctx.start_ups.look_at:
        ctx.queue.add_after(SCHEDULER, max(0, (ctx.start_ups.look_at - now()).total_seconds()))


def tell_who_is_concerned(ctx: Context, pools: Iterable[tuple[str, str]]) -> None:
    """Look again at what pools that are broken now, or were until now, may change."""
    namespaces = {namespace for namespace, _ in pools}
    if not namespaces:
        return
    for _, name in ctx.cache.keys(HARDWARE_PROFILE):
        ctx.queue.add(Task(HARDWARE_PROFILE.kind, "", name))
    for namespace in namespaces:
        for key in ctx.cache.jobs.with_a_choice(namespace):
            ctx.queue.add(Task(GENERATION_JOB.kind, *key))


async def hear_of(ctx: Context, servers: Iterable[Server]) -> bool:
    """Read why servers are not set up on their nodes: only events tell. Returns whether to come back for more."""
    waiting = False
    for server in servers:
        key = (server.namespace, server.name)
        pod = ctx.cache.get(POD, *key)
        if pod is None or server.ready or not pods.is_being_set_up(pod):
            ctx.told.pop(key, None)
            continue
        waiting = True
        if now() - parse_time(pod["metadata"]["creationTimestamp"]) >= timedelta(seconds=_SET_UP_SECONDS):
            await _hear(ctx, pod)
    for key in [key for key in ctx.told if ctx.cache.get(POD, *key) is None]:
        del ctx.told[key]
    return waiting


async def _hear(ctx: Context, pod: Obj) -> None:
    found = await ctx.client.list(EVENT, namespace_of(pod), fields={"involvedObject.uid": pod["metadata"]["uid"]})
    before, trouble = ctx.told.pop(key_of(pod), None), pods.set_up_trouble(found.items)
    if trouble:
        ctx.told[key_of(pod)] = trouble
    if trouble != before:
        ctx.queue.add(SCHEDULER)
