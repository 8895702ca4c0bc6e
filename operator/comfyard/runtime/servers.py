"""Server pods: seen as servers, made, deleted."""

import logging
import secrets

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import LABEL_COMPONENT
from comfyard.controller.pools import Pool, Server, observe_server
from comfyard.controller.resources.access import COMPONENT_SERVER
from comfyard.controller.resources.server_pod import build_server_pod
from comfyard.controller.snapshot import Retirement
from comfyard.controller.trouble import Trouble
from comfyard.kube.errors import ApiError
from comfyard.kube.kinds import POD
from comfyard.runtime.cache import Key, key_of
from comfyard.runtime.context import SCHEDULER, Context, now
from comfyard.runtime.node_reports import ensure_report
from comfyard.runtime.places import place_of
from comfyard.runtime.start_ups import tell_who_is_concerned
from comfyard.workflow.memo import Memo

log = logging.getLogger(__name__)

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels, no digits that look like letters: what Kubernetes names its pods with."""
_SUFFIX_LENGTH = 5

_SERVERS: Memo[Server] = Memo(2048)
"""Most pods stay as they are from one pass of the scheduler to the next."""


def observe_servers(ctx: Context) -> dict[Key, Server]:
    """All server pods, by namespace and name."""
    found = ctx.cache.select(POD, labels={LABEL_COMPONENT: COMPONENT_SERVER})
    return {key: server for pod in found if (server := observe_one(ctx, key := key_of(pod)))}


def observe_one(ctx: Context, key: Key) -> Server | None:
    """One server pod, if it is there."""
    pod, load, told = ctx.cache.get(POD, *key), ctx.cache.jobs.load(key), ctx.told.get(key)
    return _SERVERS.get([pod, load, told], lambda: observe_server(pod, load, told)) if pod else None


async def retire(ctx: Context, retirement: Retirement) -> None:
    """Delete a server. It counts as leaving from now on, so it gets no job."""
    server = retirement.server
    log.info("server %s/%s goes: %s", server.namespace, server.name, retirement.reason)
    await ctx.end(POD, server.namespace, server.name)


async def grow(ctx: Context, pool: Pool, profile: HardwareProfile) -> None:
    """Make a server. When the API server does not want it, the pool is left alone for a while."""
    key = (pool.namespace, pool.name)
    if ctx.start_ups.not_before.get(key, now()) > now():
        return  # the one before it was refused just now
    suffix = "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(_SUFFIX_LENGTH))
    try:
        await ensure_report(ctx, pool, profile)
        await ctx.ensure_access(pool.namespace)
        if pool.results_claim:
            await ctx.ensure_results_claim(pool.namespace, pool.results_claim)
        await ctx.create(POD, build_server_pod(pool, profile, suffix, ctx.settings, place_of(ctx, pool)))
    except ApiError as error:
        log.warning("no server for pool %s/%s: %s", pool.namespace, pool.name, error)
        message = str(error).replace(f"{pool.name}-{suffix}", pool.name)
        ctx.start_ups.refused(key, profile, Trouble("Refused", message), now())
        tell_who_is_concerned(ctx, [key])
        ctx.queue.add(SCHEDULER)  # the waiting jobs are told
