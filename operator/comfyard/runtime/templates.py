"""observe → plan → execute for templates, and for the contents of them that are kept."""

import time

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import LABEL_TEMPLATE, Model
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.controller import node_knowledge, templates
from comfyard.controller.graph_source import NoGraph, status_without, with_graph
from comfyard.controller.node_knowledge import View
from comfyard.controller.revisions import superfluous
from comfyard.kube.kinds import CONTROLLER_REVISION, HARDWARE_PROFILE, MODEL_BUNDLE, WORKFLOW_TEMPLATE
from comfyard.runtime.context import Context, Task, now


class _Kept(Model):
    """What the data of a template's ControllerRevision is."""

    spec: WorkflowTemplateSpec


class _Revision(Model):
    """A content of a template that was accepted."""

    data: _Kept


async def reconcile_template(ctx: Context, namespace: str, name: str) -> None:
    """Put the graph in its place, check, keep the revision, report."""
    obj = ctx.cache.get(WORKFLOW_TEMPLATE, namespace, name)
    template = ctx.cache.read(WorkflowTemplate, WORKFLOW_TEMPLATE, namespace, name)
    if template is None or template.spec.graph_from is None:
        ctx.graphs.forget((namespace, name))
    if obj is None or template is None:
        return
    before = obj.get("status", {})
    if template.spec.graph_from:
        look = await ctx.graphs.look(template, template.spec.graph_from.config_map_key_ref)
        ctx.queue.add_after(Task(WORKFLOW_TEMPLATE.kind, namespace, name), max(0, look.until - time.monotonic()))
        if isinstance(look.graph, NoGraph):
            await ctx.write_status(WORKFLOW_TEMPLATE, obj, status_without(template, before, look.graph, now()))
            return
        template = with_graph(template, look.graph)
    bundles = ctx.cache.read_all(ModelBundle, MODEL_BUNDLE, namespace)
    revisions = ctx.cache.select(CONTROLLER_REVISION, namespace, {LABEL_TEMPLATE: name})
    views = await _views(ctx, template, bundles)
    plan = templates.plan(template, before, bundles, revisions, now(), views)
    if plan.revision:
        await ctx.create(CONTROLLER_REVISION, plan.revision)
    await ctx.write_status(WORKFLOW_TEMPLATE, obj, plan.status)


async def _views(ctx: Context, template: WorkflowTemplate, bundles: dict[str, ModelBundle]) -> list[View]:
    own = [bundles[b.name] for b in template.spec.bundles if b.name in bundles]
    profiles = ctx.cache.read_all(HardwareProfile, HARDWARE_PROFILE)
    reports = await ctx.cache.nodes.of(template.metadata.namespace)
    return node_knowledge.views(profiles, node_knowledge.packages(own), reports)


def accepted_template(ctx: Context, namespace: str, name: str) -> WorkflowTemplate | None:
    """A template as jobs see it: with the graph that was accepted last, wherever that came from."""
    template = ctx.cache.read(WorkflowTemplate, WORKFLOW_TEMPLATE, namespace, name)
    if template is None or template.spec.graph_from is None:
        return template
    content = kept_content(ctx, namespace, template.status.revision)
    return template.model_copy(update={"spec": content}) if content else template


def kept_content(ctx: Context, namespace: str, revision: str) -> WorkflowTemplateSpec | None:
    """A content that was accepted, by the name of its ControllerRevision."""
    found = ctx.cache.read(_Revision, CONTROLLER_REVISION, namespace, revision)
    return found.data.spec if found else None


async def reconcile_revisions(ctx: Context, namespace: str, name: str) -> None:
    """Delete contents of a template that no job waits for: all but some once they are old, all once it is gone."""
    template = ctx.cache.get(WORKFLOW_TEMPLATE, namespace, name)
    current = str(template.get("status", {}).get("revision", "")) if template else ""
    revisions = ctx.cache.select(CONTROLLER_REVISION, namespace, {LABEL_TEMPLATE: name})
    needed = ctx.cache.jobs.revisions(namespace)
    for each in superfluous(revisions, current, needed, template_exists=template is not None):
        await ctx.delete(CONTROLLER_REVISION, namespace, each)
