"""From a change of one object to the keys that must be looked at again."""

from collections.abc import Callable, Iterable
from typing import Any

from comfyard.api.meta import LABEL_COMPONENT, LABEL_PROFILE, LABEL_TEMPLATE
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller.bundles import claim_name
from comfyard.controller.resources.access import COMPONENT_SERVER
from comfyard.controller.resources.sync_job import claim_of
from comfyard.kube.kinds import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    GENERATION_JOB,
    GENERATION_SWEEP,
    HARDWARE_PROFILE,
    JOB,
    MODEL_BUNDLE,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    WORKFLOW_TEMPLATE,
    Kind,
    Obj,
    name_of,
)
from comfyard.runtime.cache import Change, Key, key_of
from comfyard.runtime.context import NODE_REPORTS, REVISIONS, SCHEDULER, STORE, Context, Task
from comfyard.runtime.job_routes import is_seen_by_jobs, route_job


def route(ctx: Context, change: Change) -> Iterable[Task]:
    """The keys that a change, an appearance or a disappearance of an object touches."""
    yield from _ROUTES[change.kind](ctx, change)
    if is_seen_by_jobs(change):
        yield from _jobs(_JOBS[change.kind](ctx, change))


def look_at(ctx: Context, kind: Kind, obj: Obj) -> Iterable[Task]:
    """The keys of an object itself, for when it may have changed while nobody looked."""
    return _ROUTES[kind](ctx, Change(kind, key_of(obj), None, obj))


def _route_template(ctx: Context, change: Change) -> Iterable[Task]:
    key = change.key
    yield Task(WORKFLOW_TEMPLATE.kind, *key)
    yield Task(REVISIONS, *key)
    for sweep in ctx.cache.select(GENERATION_SWEEP, key[0]):
        if sweep["spec"]["jobTemplate"]["spec"]["template"]["name"] == key[1]:
            yield Task(GENERATION_SWEEP.kind, *key_of(sweep))
    yield from _warmed_profiles(ctx, key[0])


def _route_sweep(_ctx: Context, change: Change) -> Iterable[Task]:
    yield Task(GENERATION_SWEEP.kind, *change.key)


def _route_bundle(ctx: Context, change: Change) -> Iterable[Task]:
    namespace = change.key[0]
    yield Task(MODEL_BUNDLE.kind, *change.key)
    yield from _stores(namespace, change.obj.get("status", {}).get("claimName"))  # it may be gone, and its sync not
    if is_seen_by_jobs(change):  # templates look at the same of it
        yield from _templates(ctx, namespace)
        yield from _warmed_profiles(ctx, namespace)


def _route_profile(ctx: Context, change: Change) -> Iterable[Task]:
    name = change.key[1]
    yield Task(HARDWARE_PROFILE.kind, *change.key)
    if is_seen_by_jobs(change):
        yield SCHEDULER
        yield NODE_REPORTS
        for bundle in ctx.cache.select(MODEL_BUNDLE):
            if name in bundle["spec"].get("profiles", []):
                yield Task(MODEL_BUNDLE.kind, *key_of(bundle))


def _route_pod(ctx: Context, change: Change) -> Iterable[Task]:
    labels = change.obj["metadata"].get("labels", {})
    if labels.get(LABEL_COMPONENT) != COMPONENT_SERVER:
        yield from _route_sync(ctx, change)
        return
    index = ctx.cache.jobs
    yield SCHEDULER
    yield Task(HARDWARE_PROFILE.kind, "", labels.get(LABEL_PROFILE, ""))
    yield from _jobs(index.load(change.key).jobs)
    yield from _jobs(index.losers.get(change.key, ()))  # it may tell now why


def _route_sync(ctx: Context, change: Change) -> Iterable[Task]:
    namespace, claim = change.key[0], claim_of(change.obj)
    yield from _stores(namespace, claim)
    yield from _bundles_on(ctx, namespace, claim)


def _route_claim(ctx: Context, change: Change) -> Iterable[Task]:
    yield from _stores(*change.key)
    yield from _bundles_on(ctx, *change.key)
    yield from _stores_that_read(ctx, *change.key)


def _route_namespace(_ctx: Context, _change: Change) -> Iterable[Task]:
    yield SCHEDULER  # its limits


def _route_revision(_ctx: Context, change: Change) -> Iterable[Task]:
    template = change.obj["metadata"].get("labels", {}).get(LABEL_TEMPLATE, "")
    yield Task(WORKFLOW_TEMPLATE.kind, change.key[0], template)
    yield Task(REVISIONS, change.key[0], template)


def _route_config_map(ctx: Context, change: Change) -> Iterable[Task]:
    yield NODE_REPORTS
    yield from _templates(ctx, change.key[0])


def _templates(ctx: Context, namespace: str) -> list[Task]:
    return [Task(WORKFLOW_TEMPLATE.kind, namespace, name) for name in ctx.cache.names(WORKFLOW_TEMPLATE, namespace)]


def _warmed_profiles(ctx: Context, namespace: str) -> Iterable[Task]:
    """Profiles whose servers are warmed up with something of the namespace."""
    for profile in ctx.cache.select(HARDWARE_PROFILE):
        warm_up: dict[str, Any] = profile["spec"].get("pool", {}).get("warmUp") or {}
        if warm_up.get("namespace") == namespace:
            yield Task(HARDWARE_PROFILE.kind, "", name_of(profile))


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


_ROUTES: dict[Kind, Callable[[Context, Change], Iterable[Task]]] = {
    GENERATION_JOB: route_job,
    GENERATION_SWEEP: _route_sweep,
    WORKFLOW_TEMPLATE: _route_template,
    MODEL_BUNDLE: _route_bundle,
    HARDWARE_PROFILE: _route_profile,
    POD: _route_pod,
    JOB: _route_sync,
    PERSISTENT_VOLUME_CLAIM: _route_claim,
    NAMESPACE: _route_namespace,
    CONTROLLER_REVISION: _route_revision,
    CONFIG_MAP: _route_config_map,
}

_JOBS: dict[Kind, Callable[[Context, Change], Iterable[Key]]] = {
    WORKFLOW_TEMPLATE: lambda ctx, change: ctx.cache.jobs.unassigned_of_template(change.key),
    MODEL_BUNDLE: lambda ctx, change: ctx.cache.jobs.unassigned(change.key[0]),
    HARDWARE_PROFILE: lambda ctx, change: ctx.cache.jobs.unassigned_of_profile(change.key[1]),
    PERSISTENT_VOLUME_CLAIM: lambda ctx, change: ctx.cache.jobs.unassigned(change.key[0]),
    NAMESPACE: lambda ctx, change: ctx.cache.jobs.unassigned(change.key[1]),
    CONFIG_MAP: lambda ctx, change: ctx.cache.jobs.unassigned(change.key[0]),
}
"""The jobs without a server that look at objects of a kind."""
