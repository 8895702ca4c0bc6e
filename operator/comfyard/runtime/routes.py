"""From a change of one object to the keys that must be looked at again."""

from collections.abc import Iterable

from comfyard.api.meta import LABEL_COMPONENT, LABEL_PROFILE, LABEL_TEMPLATE
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller.bundles import claim_name
from comfyard.controller.resources.access import COMPONENT_SERVER
from comfyard.controller.resources.sync_job import claim_of
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
from comfyard.runtime.cache import Key, key_of
from comfyard.runtime.context import SCHEDULER, STORE, Context, Task


def route(ctx: Context, kind: Kind, obj: Obj) -> Iterable[Task]:
    """The keys that a change, an appearance or a disappearance of the object touches."""
    namespace, name = namespace_of(obj), name_of(obj)
    labels = obj["metadata"].get("labels", {})
    if kind is GENERATION_JOB:
        yield from _route_job(ctx, obj, (namespace, name))
    elif kind is WORKFLOW_TEMPLATE:
        yield Task(kind.kind, namespace, name)
        yield from _jobs(ctx.cache.jobs.unassigned(namespace))
    elif kind is MODEL_BUNDLE:
        yield Task(kind.kind, namespace, name)
        yield from _stores(namespace, obj.get("status", {}).get("claimName"))  # it may be gone, and its sync not
        yield from (
            Task(WORKFLOW_TEMPLATE.kind, namespace, name_of(t)) for t in ctx.cache.select(WORKFLOW_TEMPLATE, namespace)
        )
        yield from _jobs(ctx.cache.jobs.unassigned(namespace))
    elif kind is HARDWARE_PROFILE:
        yield Task(kind.kind, "", name)
        yield from (
            Task(MODEL_BUNDLE.kind, *key_of(b))
            for b in ctx.cache.select(MODEL_BUNDLE)
            if name in b["spec"].get("profiles", [])
        )
        yield from _jobs(ctx.cache.jobs.unassigned())
    elif kind is POD and labels.get(LABEL_COMPONENT) == COMPONENT_SERVER:
        yield SCHEDULER
        yield Task(HARDWARE_PROFILE.kind, "", labels.get(LABEL_PROFILE, ""))
        yield from _jobs([job] if (job := ctx.cache.jobs.by_server.get((namespace, name))) else [])
    elif kind in (POD, JOB):
        yield from _stores(namespace, claim_of(obj))
        yield from _bundles_on(ctx, namespace, claim_of(obj))
    elif kind is PERSISTENT_VOLUME_CLAIM:
        yield from _stores(namespace, name)
        yield from _bundles_on(ctx, namespace, name)
        yield from _stores_that_read(ctx, namespace, name)
        yield from _jobs(ctx.cache.jobs.unassigned(namespace))
    elif kind is CONTROLLER_REVISION:
        yield Task(WORKFLOW_TEMPLATE.kind, namespace, labels.get(LABEL_TEMPLATE, ""))


def _route_job(ctx: Context, obj: Obj, key: Key) -> Iterable[Task]:
    namespace = key[0]
    yield Task(GENERATION_JOB.kind, *key)
    yield Task(WORKFLOW_TEMPLATE.kind, namespace, obj["spec"]["template"]["name"])
    yield from (Task(HARDWARE_PROFILE.kind, "", profile) for profile in obj["spec"]["profiles"])
    if not ctx.cache.jobs.is_assigned(key):  # it may have been the last that held a bundle
        yield from (Task(MODEL_BUNDLE.kind, *held) for held in ctx.cache.held if held[0] == namespace)


def _jobs(keys: Iterable[Key]) -> list[Task]:
    return [Task(GENERATION_JOB.kind, *key) for key in keys]


def _stores(namespace: str, claim: str | None) -> list[Task]:
    return [Task(STORE, namespace, claim)] if claim else []


def _bundles_on(ctx: Context, namespace: str, claim: str) -> Iterable[Task]:
    for name, bundle in ctx.cache.read_all(ModelBundle, MODEL_BUNDLE, namespace).items():
        if claim_name(bundle, ctx.settings) == claim:
            yield Task(MODEL_BUNDLE.kind, namespace, name)


def _stores_that_read(ctx: Context, namespace: str, claim: str) -> Iterable[Task]:
    for bundle in ctx.cache.read_all(ModelBundle, MODEL_BUNDLE, namespace).values():
        if any(model.source.claim and model.source.claim.name == claim for model in bundle.spec.models):
            yield from _stores(namespace, bundle.status.claim_name)
