"""What a change of a job touches, and which changes of other objects jobs see at all.

Ten thousand jobs may wait for one bundle, whose status counts the bytes that have come: not every change of it is a
reason to look at all of them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from comfyard.api.conditions import READY
from comfyard.controller.sweep_jobs import sweep_of
from comfyard.kube.kinds import (
    CONFIG_MAP,
    GENERATION_JOB,
    GENERATION_SWEEP,
    HARDWARE_PROFILE,
    MODEL_BUNDLE,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    WORKFLOW_TEMPLATE,
    Kind,
    Obj,
)
from comfyard.runtime.cache import Change
from comfyard.runtime.context import REVISIONS, SCHEDULER, Context, Task

_OF_BUNDLE = ("observedGeneration", "syncedGeneration", "claimName", "customNodes", "skipped")
"""Fields of a bundle's status."""

_PROGRESS = frozenset({"bytes", "message"})
"""Of a file's row: what changes all the time while it is fetched."""


def route_job(ctx: Context, change: Change) -> Iterable[Task]:
    """The keys that a change of a job touches."""
    key, obj, index = change.key, change.obj, ctx.cache.jobs
    namespace = key[0]
    yield Task(GENERATION_JOB.kind, *key)
    sweep = sweep_of(obj)
    if sweep is not None:
        yield Task(GENERATION_SWEEP.kind, namespace, sweep)
    yield from (Task(HARDWARE_PROFILE.kind, "", profile) for profile in obj["spec"]["profiles"])
    if index.is_assigned(key):
        return
    yield from (Task(GENERATION_JOB.kind, *taker) for taker in index.takers.get(key, ()))
    if _server(change.before):
        yield SCHEDULER  # there is room for another
        yield from (Task(MODEL_BUNDLE.kind, *held) for held in ctx.cache.held if held[0] == namespace)
    if key not in index.unfinished:
        yield Task(REVISIONS, namespace, obj["spec"]["template"]["name"])
        for given in obj["spec"].get("inputs", []):
            if "job" in given:  # it may have stayed for this one
                yield Task(GENERATION_JOB.kind, namespace, given["job"]["name"])


def is_pressing(change: Change) -> bool:
    """Whether a server, or who has ordered, waits for what follows from a change of a job."""
    return bool(_server(change.before) or _server(change.after))


def _server(job: Obj | None) -> str | None:
    found: str | None = ((job or {}).get("status", {}).get("assignment") or {}).get("server")
    return found


def is_seen_by_jobs(change: Change) -> bool:
    """Whether jobs that have no server are to be looked at because of a change."""
    view = _VIEWS.get(change.kind)
    return view is not None and _seen(view, change.before) != _seen(view, change.after)


def _seen(view: Callable[[Obj], Any], obj: Obj | None) -> Any:  # noqa: ANN401 - to be compared
    return None if obj is None else view(obj)


def _of_template(template: Obj) -> Any:  # noqa: ANN401
    status = template.get("status", {})
    told = [status.get(name) for name in ("observedGeneration", "revision", "digest")]
    return template["spec"], template["metadata"].get("generation"), told, _ready(status, "status", "reason", "message")


def _of_bundle(bundle: Obj) -> Any:  # noqa: ANN401
    status = bundle.get("status", {})
    told = [status.get(name) for name in _OF_BUNDLE]
    rows = [{k: v for k, v in row.items() if k not in _PROGRESS} for row in status.get("models") or ()]
    return bundle["spec"], bundle["metadata"].get("generation"), told, rows, _ready(status, "status", "reason")


def _of_namespace(namespace: Obj) -> Any:  # noqa: ANN401
    return namespace["metadata"].get("annotations"), namespace["metadata"].get("labels")


def _ready(status: Mapping[str, Any], *names: str) -> list[Any]:
    return [[c.get(name) for name in names] for c in status.get("conditions") or () if c.get("type") == READY]


_VIEWS: dict[Kind, Callable[[Obj], Any]] = {
    WORKFLOW_TEMPLATE: _of_template,
    MODEL_BUNDLE: _of_bundle,
    HARDWARE_PROFILE: lambda profile: profile["spec"],
    PERSISTENT_VOLUME_CLAIM: lambda claim: claim["spec"].get("accessModes"),
    NAMESPACE: _of_namespace,
    CONFIG_MAP: lambda report: report,
}
"""What jobs look at."""
