"""The operator: kopf watches and serves probes, our queue does the work. The only module that knows kopf."""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf

from comfyard.api.meta import LABEL_MANAGED_BY, MANAGED_BY
from comfyard.controller.resources.node_report import REPORT_LABELS
from comfyard.controller.settings import Settings
from comfyard.kube.client import LightkubeClient
from comfyard.kube.errors import ApiError
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
)
from comfyard.runtime import bundles, jobs, node_reports, profiles, sweeps, templates
from comfyard.runtime.cache import Cache
from comfyard.runtime.context import ACCESS, NODE_REPORTS, REVISIONS, SCHEDULER, STORE, Context, Task
from comfyard.runtime.routes import route
from comfyard.runtime.servers import run_scheduler
from comfyard.runtime.work_queue import WorkQueue

log = logging.getLogger(__name__)

FIELD_MANAGER = "comfyard"

_OURS = {LABEL_MANAGED_BY: MANAGED_BY}
_LABELS = {POD: _OURS, JOB: _OURS, CONTROLLER_REVISION: _OURS, CONFIG_MAP: REPORT_LABELS}
"""What is followed of these kinds; of all others, everything is."""

_WATCHED = (
    HARDWARE_PROFILE,
    MODEL_BUNDLE,
    WORKFLOW_TEMPLATE,
    GENERATION_JOB,
    GENERATION_SWEEP,  # after the jobs: one that is gone from their LIST because it was counted is counted in this
    PERSISTENT_VOLUME_CLAIM,
    NAMESPACE,
    *_LABELS,
)
_WORKERS = 16
_TOKEN_REREAD = timedelta(minutes=10)
_UNHURRIED_SECONDS = 3.0
"""Servers become busy and idle with every job; their counts in status are brought up to date this often. So is what
nobody waits for, and what many changes together give one reason for."""

_SWEEP_SECONDS = 0.2
"""Jobs of a sweep change many at a time, and all of them are counted at each look."""

_UNHURRIED = frozenset({REVISIONS, NODE_REPORTS.what})

_RECONCILERS: dict[str, Callable[[Context, str, str], Awaitable[None]]] = {
    GENERATION_JOB.kind: jobs.reconcile_job,
    WORKFLOW_TEMPLATE.kind: templates.reconcile_template,
    REVISIONS: templates.reconcile_revisions,
    NODE_REPORTS.what: node_reports.reconcile_node_reports,
    MODEL_BUNDLE.kind: bundles.reconcile_bundle,
    HARDWARE_PROFILE.kind: profiles.reconcile_profile,
    GENERATION_SWEEP.kind: sweeps.reconcile_sweep,
    STORE: bundles.reconcile_store,
    ACCESS: lambda ctx, namespace, _name: ctx.ensure_access(namespace),
    SCHEDULER.what: lambda ctx, _namespace, _name: run_scheduler(ctx),
}


class Operator:
    """Cache, queue and reconcilers, and what kopf calls."""

    def __init__(self, client: LightkubeClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._ctx = Context(client, Cache(_WATCHED), settings)
        self._ctx.queue = WorkQueue(self._reconcile)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """List everything, then begin to work: no decision is made from a part of the truth."""
        await self.resync()
        self._tasks = [
            asyncio.create_task(self._ctx.queue.run(_WORKERS)),
            asyncio.create_task(self._resync_for_ever()),
        ]

    async def stop(self) -> None:
        """Stop working. Everything that matters is in the API server."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._client.close()

    async def resync(self) -> None:
        """Heal what watches have missed, and look at everything again."""
        for kind in _WATCHED:
            found = await self._client.list(kind, labels=_LABELS.get(kind))
            self._ctx.cache.replace(kind, found.items, found.resource_version)
        self._ctx.forget_access()
        for namespace in {namespace for namespace, _ in self._ctx.cache.keys(POD)}:
            self._ctx.queue.add(Task(ACCESS, namespace, ""))  # an upgraded operator may want others to be refused
        for kind in _WATCHED:
            for namespace, name in self._ctx.cache.keys(kind):
                obj = self._ctx.cache.get(kind, namespace, name)
                if obj:
                    self._enqueue(kind, obj)

    async def _resync_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            try:
                await self.resync()
            except ApiError as error:
                log.warning("resync failed: %s", error)

    def observe(self, kind: Kind, event_type: str | None, obj: Obj) -> None:
        """Take in one event of a watch."""
        if event_type == "DELETED":
            self._ctx.cache.drop(kind, obj)
        else:
            self._ctx.cache.put(kind, obj)
        self._enqueue(kind, obj)

    def _enqueue(self, kind: Kind, obj: Obj) -> None:
        for task in route(self._ctx, kind, obj):
            seconds = _pause(kind, task)
            if seconds:
                self._ctx.queue.add_after(task, seconds)
            else:
                self._ctx.queue.add(task)

    async def _reconcile(self, task: Task) -> None:
        await _RECONCILERS[task.what](self._ctx, task.namespace, task.name)


def _pause(kind: Kind, task: Task) -> float:
    """Seconds to wait with what a change of that kind gives reason for."""
    if task.what in _UNHURRIED or (task.what == HARDWARE_PROFILE.kind and kind is not HARDWARE_PROFILE):
        return _UNHURRIED_SECONDS
    return _SWEEP_SECONDS if task.what == GENERATION_SWEEP.kind and kind is GENERATION_JOB else 0


def build_registry(operator: Operator) -> kopf.OperatorRegistry:
    """Handlers for kopf: events of all kinds go to the operator, nothing is decided here."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)

    @kopf.on.startup(registry=registry)
    async def _start(settings: kopf.OperatorSettings, **_: Any) -> None:  # noqa: ANN401 - kopf's kwargs
        _configure(settings)
        await operator.start()

    @kopf.on.cleanup(registry=registry)
    async def _stop(**_: Any) -> None:  # noqa: ANN401
        await operator.stop()

    for kind in _WATCHED:
        _watch(registry, operator, kind)
    return registry


def _watch(registry: kopf.OperatorRegistry, operator: Operator, kind: Kind) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=kind.plural)
    async def _observe(event: Any, **_: Any) -> None:  # noqa: ANN401
        operator.observe(kind, event["type"], dict(event["object"]))


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401
    """The ServiceAccount's token, read again before kubelet rotates it; outside a pod, the kubeconfig."""
    info = kopf.login_with_service_account(**kwargs)
    if info is None:
        return kopf.login_with_kubeconfig(**kwargs)
    return dataclasses.replace(info, expiration=datetime.now(UTC) + _TOKEN_REREAD)


def _configure(settings: kopf.OperatorSettings) -> None:
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 30
    settings.watching.chunk_size = 500
    settings.queueing.idle_timeout = 1
    settings.networking.request_timeout = 30
    for kind, labels in _LABELS.items():
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = selector


async def run(settings: Settings) -> int:
    """Run the operator until it is told to stop."""
    client = LightkubeClient.from_environment(FIELD_MANAGER)
    operator = Operator(client, settings)
    await kopf.operator(
        registry=build_registry(operator),
        clusterwide=True,
        identity=FIELD_MANAGER,  # type: ignore[arg-type] # kopf's own guess needs a name in /etc/passwd
        liveness_endpoint=f"http://0.0.0.0:{settings.probe_port}/healthz",
    )
    return 0
