"""From a change of one object to the keys that must be looked at again."""

from collections.abc import Callable, Iterable

from comfyard.api.meta import LABEL_COMPONENT, LABEL_PROFILE, LABEL_TEMPLATE
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller.bundles import claim_name
from comfyard.controller.resources.access import COMPONENT_SERVER
from comfyard.controller.resources.sync_job import claim_of
from comfyard.controller.sweep_jobs import sweep_of
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
from comfyard.runtime.cache import Key, key_of
from comfyard.runtime.context import NODE_REPORTS, REVISIONS, SCHEDULER, STORE, Context, Task


def route(ctx: Context, kind: Kind, obj: Obj) -> Iterable[Task]:
    """The keys that a change, an appearance or a disappearance of the object touches."""
    return _ROUTES[kind](ctx, obj, key_of(obj))


def _route_template(ctx: Context, _obj: Obj, key: Key) -> Iterable[Task]:
    yield Task(WORKFLOW_TEMPLATE.kind, *key)
    yield Task(REVISIONS, *key)
    for sweep in ctx.cache.select(GENERATION_SWEEP, key[0]):
        if sweep["spec"]["jobTemplate"]["spec"]["template"]["name"] == key[1]:
            yield Task(GENERATION_SWEEP.kind, *key_of(sweep))
    yield from _jobs(ctx.cache.jobs.unassigned(key[0]))


def _route_sweep(_ctx: Context, _obj: Obj, key: Key) -> Iterable[Task]:
    yield Task(GENERATION_SWEEP.kind, *key)


def _route_bundle(ctx: Context, obj: Obj, key: Key) -> Iterable[Task]:
    yield Task(MODEL_BUNDLE.kind, *key)
    yield from _stores(key[0], obj.get("status", {}).get("claimName"))  # it may be gone, and its sync not
    yield from _templates(ctx, key[0])
    yield from _jobs(ctx.cache.jobs.unassigned(key[0]))


def _route_profile(ctx: Context, _obj: Obj, key: Key) -> Iterable[Task]:
    yield Task(HARDWARE_PROFILE.kind, *key)
    yield NODE_REPORTS
    for bundle in ctx.cache.select(MODEL_BUNDLE):
        if key[1] in bundle["spec"].get("profiles", []):
            yield Task(MODEL_BUNDLE.kind, *key_of(bundle))
    yield from _jobs(ctx.cache.jobs.unassigned())


def _route_pod(ctx: Context, obj: Obj, key: Key) -> Iterable[Task]:
    labels = obj["metadata"].get("labels", {})
    if labels.get(LABEL_COMPONENT) != COMPONENT_SERVER:
        yield from _route_sync(ctx, obj, key)
        return
    index = ctx.cache.jobs
    yield SCHEDULER
    yield Task(HARDWARE_PROFILE.kind, "", labels.get(LABEL_PROFILE, ""))
    yield from _jobs([job] if (job := index.by_server.get(key)) else [])
    yield from _jobs(index.losers.get(key, ()))  # it may tell now why


def _route_sync(ctx: Context, obj: Obj, key: Key) -> Iterable[Task]:
    yield from _stores(key[0], claim_of(obj))
    yield from _bundles_on(ctx, key[0], claim_of(obj))


def _route_claim(ctx: Context, _obj: Obj, key: Key) -> Iterable[Task]:
    yield from _stores(*key)
    yield from _bundles_on(ctx, *key)
    yield from _stores_that_read(ctx, *key)
    yield from _jobs(ctx.cache.jobs.unassigned(key[0]))


def _route_namespace(ctx: Context, _obj: Obj, key: Key) -> Iterable[Task]:
    yield from _jobs(ctx.cache.jobs.unassigned(key[1]))  # its default for results


def _route_revision(_ctx: Context, obj: Obj, key: Key) -> Iterable[Task]:
    template = obj["metadata"].get("labels", {}).get(LABEL_TEMPLATE, "")
    yield Task(WORKFLOW_TEMPLATE.kind, key[0], template)
    yield Task(REVISIONS, key[0], template)


def _route_config_map(ctx: Context, _obj: Obj, key: Key) -> Iterable[Task]:
    yield NODE_REPORTS
    yield from _templates(ctx, key[0])
    yield from _jobs(ctx.cache.jobs.unassigned(key[0]))


def _route_job(ctx: Context, obj: Obj, key: Key) -> Iterable[Task]:
    namespace = key[0]
    yield Task(GENERATION_JOB.kind, *key)
    sweep = sweep_of(obj)
    if sweep is not None:
        yield Task(GENERATION_SWEEP.kind, namespace, sweep)
    yield Task(REVISIONS, namespace, obj["spec"]["template"]["name"])
    yield from (Task(HARDWARE_PROFILE.kind, "", profile) for profile in obj["spec"]["profiles"])
    if not ctx.cache.jobs.is_assigned(key):  # it may have been the last that held a bundle
        yield from (Task(MODEL_BUNDLE.kind, *held) for held in ctx.cache.held if held[0] == namespace)
        yield from _jobs(ctx.cache.jobs.takers.get(key, ()))
    if key not in ctx.cache.jobs.unfinished:  # the jobs that it took inputs from may have stayed for it
        yield from _jobs((namespace, i["job"]["name"]) for i in obj["spec"].get("inputs", []) if "job" in i)


def _templates(ctx: Context, namespace: str) -> list[Task]:
    return [Task(WORKFLOW_TEMPLATE.kind, namespace, name_of(t)) for t in ctx.cache.select(WORKFLOW_TEMPLATE, namespace)]


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


_ROUTES: dict[Kind, Callable[[Context, Obj, Key], Iterable[Task]]] = {
    GENERATION_JOB: _route_job,
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
