"""observe → plan → execute for the ConfigMaps in which servers tell their node classes."""

import logging
from collections import defaultdict

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import LABEL_COMPONENT
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller import node_knowledge
from comfyard.controller.node_knowledge import Care
from comfyard.controller.pools import Pool
from comfyard.controller.resources.access import COMPONENT_SERVER
from comfyard.controller.resources.node_report import Package, build_report, report_name, server_key
from comfyard.kube.errors import ApiError, ConflictError, NotFoundError
from comfyard.kube.kinds import (
    CONFIG_MAP,
    HARDWARE_PROFILE,
    MODEL_BUNDLE,
    POD,
    WORKFLOW_TEMPLATE,
    name_of,
    namespace_of,
)
from comfyard.runtime.context import Context, Task

log = logging.getLogger(__name__)


async def ensure_report(ctx: Context, pool: Pool, profile: HardwareProfile) -> None:
    """Make the ConfigMap of a pool's servers. Without it they work as well, and are checked less."""
    if ctx.cache.get(CONFIG_MAP, pool.namespace, report_name(profile, pool.packages)):
        return
    try:
        await ctx.create(CONFIG_MAP, build_report(pool.namespace, profile, pool.packages))
    except ApiError as error:
        log.warning("servers of pool %s/%s cannot tell their nodes: %s", pool.namespace, pool.name, error)


async def reconcile_node_reports(ctx: Context, _namespace: str, _name: str) -> None:
    """Look after the reports of all namespaces; when profiles have got other servers, look at all templates again."""
    profiles = ctx.cache.read_all(HardwareProfile, HARDWARE_PROFILE)
    there: dict[str, set[Package]] = defaultdict(set)
    for namespace, name in ctx.cache.keys(MODEL_BUNDLE):
        bundle = ctx.cache.read(ModelBundle, MODEL_BUNDLE, namespace, name)
        there[namespace] |= node_knowledge.packages([bundle] if bundle else [])
    pods = ctx.cache.select(POD, labels={LABEL_COMPONENT: COMPONENT_SERVER})
    for care in node_knowledge.care(ctx.cache.select(CONFIG_MAP), profiles.values(), there, pods):
        await _do(ctx, care)
    servers = {name: server_key(profile) for name, profile in profiles.items()}
    if servers != ctx.server_keys:
        ctx.server_keys = servers
        for namespace, name in ctx.cache.keys(WORKFLOW_TEMPLATE):
            ctx.queue.add(Task(WORKFLOW_TEMPLATE.kind, namespace, name))


async def _do(ctx: Context, care: Care) -> None:
    namespace, name = namespace_of(care.report), name_of(care.report)
    if care.delete:
        await ctx.delete(CONFIG_MAP, namespace, name)
    elif care.patch:
        version = str(care.report["metadata"]["resourceVersion"])
        try:
            ctx.take(CONFIG_MAP, await ctx.client.patch(CONFIG_MAP, name, namespace, care.patch, version))
        except (ConflictError, NotFoundError):
            log.debug("report %s/%s has changed meanwhile; its event brings it back", namespace, name)
