"""From a change of one object to the keys that must be looked at again."""

from collections.abc import Iterable

from comfyard.api.meta import LABEL_CLAIM, LABEL_COMPONENT, LABEL_PROFILE, LABEL_TEMPLATE
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller.bundles import claim_name
from comfyard.controller.resources.access import COMPONENT_SERVER
from comfyard.controller.resources.sync_job import claim_label
from comfyard.kube.kinds import (
    CONTROLLER_REVISION,
    GENERATION_JOB,
    HARDWARE_PROFILE,
    JOB,
    MODEL_BUNDLE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    WORKFLOW_TEMPLATE,
    Kind,
    Obj,
    name_of,
    namespace_of,
)
from comfyard.runtime.cache import Key
from comfyard.runtime.context import SCHEDULER, STORE, Context, Task


def route(ctx: Context, kind: Kind, obj: Obj) -> Iterable[Task]:
    """The keys that a change, an appearance or a disappearance of the object touches."""
    namespace, name = namespace_of(obj), name_of(obj)
    labels = obj["metadata"].get("labels", {})
    if kind is GENERATION_JOB:
        yield from _route_job(obj, namespace, name)
    elif kind is WORKFLOW_TEMPLATE:
        yield Task(kind.kind, namespace, name)
        yield from _jobs(ctx.cache.jobs.unassigned(namespace))
    elif kind is MODEL_BUNDLE:
        yield Task(kind.kind, namespace, name)
        yield from (
            Task(WORKFLOW_TEMPLATE.kind, namespace, name_of(t)) for t in ctx.cache.select(WORKFLOW_TEMPLATE, namespace)
        )
        yield from _jobs(ctx.cache.jobs.unassigned(namespace))
    elif kind is HARDWARE_PROFILE:
        yield Task(kind.kind, "", name)
        yield from _jobs(ctx.cache.jobs.unassigned())
    elif kind is POD and labels.get(LABEL_COMPONENT) == COMPONENT_SERVER:
        yield SCHEDULER
        yield Task(HARDWARE_PROFILE.kind, "", labels.get(LABEL_PROFILE, ""))
        yield from _jobs([job] if (job := ctx.cache.jobs.by_server.get((namespace, name))) else [])
    elif kind in (POD, JOB):
        yield from _bundles_on(ctx, namespace, labels.get(LABEL_CLAIM, ""))
    elif kind is PERSISTENT_VOLUME_CLAIM:
        yield from _bundles_on(ctx, namespace, claim_label(name))
        yield from _jobs(ctx.cache.jobs.unassigned(namespace))
    elif kind is CONTROLLER_REVISION:
        yield Task(WORKFLOW_TEMPLATE.kind, namespace, labels.get(LABEL_TEMPLATE, ""))


def _route_job(obj: Obj, namespace: str, name: str) -> Iterable[Task]:
    yield Task(GENERATION_JOB.kind, namespace, name)
    yield Task(WORKFLOW_TEMPLATE.kind, namespace, obj["spec"]["template"]["name"])
    yield from (Task(HARDWARE_PROFILE.kind, "", profile) for profile in obj["spec"]["profiles"])


def _jobs(keys: Iterable[Key]) -> list[Task]:
    return [Task(GENERATION_JOB.kind, *key) for key in keys]


def _bundles_on(ctx: Context, namespace: str, label: str) -> Iterable[Task]:
    """The bundles of a claim and the claim itself; claims are known by their label's digest on pods and Jobs."""
    for obj in ctx.cache.select(MODEL_BUNDLE, namespace):
        claim = claim_name(ModelBundle.model_validate(obj), ctx.settings)
        if claim_label(claim) == label:
            yield Task(MODEL_BUNDLE.kind, namespace, name_of(obj))
            yield Task(STORE, namespace, claim)
