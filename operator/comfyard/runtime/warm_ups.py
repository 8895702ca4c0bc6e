"""What the servers of profiles are warmed up with, as templates and bundles are now."""

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.trouble import Trouble
from comfyard.controller.warm_up import plan_warm_up
from comfyard.runtime.context import SCHEDULER, Context
from comfyard.runtime.jobs import observe_template


def look_at_warm_up(ctx: Context, profile: HardwareProfile) -> Trouble | None:
    """Find out what a profile's servers are warmed up with; returns why they are not."""
    wanted, name = profile.spec.pool.warm_up, profile.metadata.name
    found = plan_warm_up(profile, observe_template(ctx, wanted.namespace, wanted.template)) if wanted else None
    if found != ctx.warm_ups.get(name):
        ctx.queue.add(SCHEDULER)  # minServers may start now
    if found:
        ctx.warm_ups[name] = found
    else:
        ctx.warm_ups.pop(name, None)
    return found if isinstance(found, Trouble) else None
