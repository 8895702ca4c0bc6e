"""observe → plan → execute for profiles: their servers, counted."""

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller import profiles
from comfyard.kube.kinds import HARDWARE_PROFILE
from comfyard.runtime.context import Context, now
from comfyard.runtime.servers import observe_servers


async def reconcile_profile(ctx: Context, _namespace: str, name: str) -> None:
    """Count the servers. Changes that many jobs make are written together, at most every few seconds."""
    obj = ctx.cache.get(HARDWARE_PROFILE, "", name)
    profile = ctx.cache.read(HardwareProfile, HARDWARE_PROFILE, "", name)
    if obj is None or profile is None:
        return
    servers = [s for s in observe_servers(ctx).values() if s.profile == name]
    queued = sum(r.demand.pool.profile == name for r in ctx.waiting().values())
    await ctx.write_status(HARDWARE_PROFILE, obj, profiles.plan(profile, obj.get("status", {}), servers, queued, now()))
