"""observe → plan → execute for profiles: their servers, counted, and why they do not start."""

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller import profiles
from comfyard.kube.kinds import HARDWARE_PROFILE
from comfyard.kube.rate_limit import Priority
from comfyard.runtime.context import Context, Task, now
from comfyard.runtime.servers import observe_servers
from comfyard.runtime.start_ups import HEAR_SECONDS, hear_of
from comfyard.runtime.warm_ups import look_at_warm_up


async def reconcile_profile(ctx: Context, _namespace: str, name: str) -> None:
    """Count the servers. Changes that many jobs make are written together, at most every few seconds."""
    obj = ctx.cache.get(HARDWARE_PROFILE, "", name)
    profile = ctx.cache.read(HardwareProfile, HARDWARE_PROFILE, "", name)
    if obj is None or profile is None:
        ctx.warm_ups.pop(name, None)
        return
    servers = [s for s in observe_servers(ctx).values() if s.profile == name]
    if await hear_of(ctx, servers):
        ctx.queue.add_after(Task(HARDWARE_PROFILE.kind, "", name), HEAR_SECONDS)
    seen = profiles.Observed(
        servers=servers,
        queued=ctx.demands.waiting_by_profile()[name],
        broken=ctx.start_ups.broken_of(name),
        cold=look_at_warm_up(ctx, profile),
    )
    plan = profiles.plan(profile, obj.get("status", {}), seen, now())
    await ctx.write_status(HARDWARE_PROFILE, obj, plan.status, Priority.TEXT)
    if plan.news:
        await ctx.tell(HARDWARE_PROFILE, obj, "Warning", plan.news.reason, plan.news.message)
