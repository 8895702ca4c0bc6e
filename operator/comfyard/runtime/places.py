"""What is around a pod that is to be made."""

from comfyard.controller.pools import Pool
from comfyard.controller.resources.server_pod import Place
from comfyard.controller.volumes import Volumes, observe_volumes
from comfyard.controller.warm_up import WarmUp
from comfyard.kube.kinds import PERSISTENT_VOLUME_CLAIM, POD
from comfyard.runtime.context import Context


def volumes_of(ctx: Context, namespace: str) -> Volumes:
    """The claims of a namespace, and who mounts them."""
    return observe_volumes(ctx.cache.select(PERSISTENT_VOLUME_CLAIM, namespace), ctx.cache.select(POD, namespace))


def place_of(ctx: Context, pool: Pool) -> Place:
    """Where a server of a pool is made."""
    warm_up = ctx.warm_ups.get(pool.profile)
    graph = warm_up.graph if isinstance(warm_up, WarmUp) and warm_up.suits(pool) else ""
    return Place(volumes_of(ctx, pool.namespace), graph)
