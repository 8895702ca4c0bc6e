"""The operator: kopf watches and serves probes, our queue does the work. The only module that knows kopf."""

import asyncio
import dataclasses
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
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
from comfyard.kube.paced_client import PacedClient
from comfyard.kube.protocol import KubeClient
from comfyard.kube.rate_limit import RateLimiter
from comfyard.runtime import bundles, jobs, node_reports, profiles, sweeps, templates, waiting
from comfyard.runtime.cache import Cache, Change
from comfyard.runtime.context import ACCESS, NODE_REPORTS, REVISIONS, SCHEDULER, STORE, WAITING, Context, Task
from comfyard.runtime.following import follow, take_list
from comfyard.runtime.job_routes import is_pressing
from comfyard.runtime.leader import Election
from comfyard.runtime.routes import look_at, route
from comfyard.runtime.scheduling import run_scheduler
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
    GENERATION_SWEEP,
    PERSISTENT_VOLUME_CLAIM,
    NAMESPACE,
    *_LABELS,
)
"""By kopf. The jobs are followed by ourselves, see `following`."""

_LISTED = (
    *_LABELS,  # pods before jobs: what these tell is counted for the pools of those
    GENERATION_JOB,
    *(kind for kind in _WATCHED if kind not in _LABELS),  # a job that is gone as its sweep has counted it is in that
)
_WORKERS = 16
_TOKEN_REREAD = timedelta(minutes=10)
_START_RETRY_SECONDS = 1.0
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
    WAITING.what: waiting.reconcile_waiting,
}


class Operator:
    """Cache, queue and reconcilers, and what kopf calls."""

    def __init__(self, client: KubeClient, election: Election, settings: Settings) -> None:
        limiter = RateLimiter(settings.writes_per_second, settings.write_burst)
        self._election = election
        self._settings = settings
        self._ctx = Context(PacedClient(client, limiter, election.leads), Cache(_LISTED), settings)
        self._working = False
        self._ctx.queue = WorkQueue(self._reconcile)
        self._ctx.changed = self._changed
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """List everything, then begin to work once it is this replica's turn.

        No decision is made from a part of the truth. A replica that stands by follows everything too: with ten thousand
        jobs, who had to list them first would take over much later than the Lease allows.
        """
        version = await self.resync()
        self._tasks = [
            asyncio.create_task(self._work()),
            asyncio.create_task(self._resync_for_ever()),
            asyncio.create_task(follow(self._ctx, GENERATION_JOB, version)),
        ]

    async def stop(self) -> None:
        """Stop working. Everything that matters is in the API server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._election.give_back()

    async def _work(self) -> None:
        """Work from when the Lease is ours, until cancelled. When it is lost, the process ends; kubelet starts another.

        At once: nothing that is under way may be finished, so there is no orderly end that could do so.
        """
        try:
            await self._election.lead()
            self._working = True
            async with asyncio.TaskGroup() as group:
                group.create_task(self._run_queue())
                await self._election.until_lost()
                log.error("the Lease is lost")
                os._exit(1)
        except Exception:
            log.exception("this replica cannot work")
            os._exit(1)

    async def _run_queue(self) -> None:
        await self._look_at_all(_LISTED)
        await self._ctx.queue.run(_WORKERS)

    async def resync(self) -> str:
        """Heal what watches have missed, and what nobody watches. Returns the version to follow the jobs from."""
        versions = {kind: await take_list(self._ctx, kind, _LABELS.get(kind)) for kind in _LISTED}
        if self._working:
            await self._look_at_all(_WATCHED)
        return versions[GENERATION_JOB]

    async def _look_at_all(self, kinds: Iterable[Kind]) -> None:
        self._ctx.forget_access()
        for namespace in {namespace for namespace, _ in self._ctx.cache.keys(POD)}:
            self._add(POD, Task(ACCESS, namespace, ""))  # an upgraded operator may want others to be refused
        for kind in kinds:
            for obj in self._ctx.cache.select(kind):
                for task in look_at(self._ctx, kind, obj):
                    self._add(kind, task)
                await asyncio.sleep(0)
        self._ctx.queue.add(SCHEDULER)

    async def _resync_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            try:
                await self.resync()
            except ApiError as error:
                log.warning("resync failed: %s", error)

    def observe(self, kind: Kind, event_type: str | None, obj: Obj) -> None:
        """Take in one event of a watch."""
        self._ctx.hear(kind, event_type, obj)

    def _changed(self, change: Change) -> None:
        if not self._working:
            return  # keys of what is gone would pile up in a queue that nobody empties
        for task in route(self._ctx, change):
            own = change.kind is GENERATION_JOB and (task.namespace, task.name) == change.key
            self._add(change.kind, task, urgent=own and is_pressing(change))

    def _add(self, kind: Kind, task: Task, *, urgent: bool = False) -> None:
        seconds = _pause(kind, task)
        if seconds:
            self._ctx.queue.add_after(task, seconds)
        else:
            self._ctx.queue.add(task, urgent=urgent or task == SCHEDULER)

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

    @kopf.on.startup(registry=registry, backoff=_START_RETRY_SECONDS)
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
    client, client_of_lease = (LightkubeClient.from_environment(FIELD_MANAGER) for _ in range(2))
    election = Election(client_of_lease, settings.namespace, settings.pod_name)
    try:
        await kopf.operator(
            registry=build_registry(Operator(client, election, settings)),
            clusterwide=True,
            identity=FIELD_MANAGER,  # type: ignore[arg-type] # kopf's own guess needs a name in /etc/passwd
            liveness_endpoint=f"http://0.0.0.0:{settings.probe_port}/healthz",
        )
    finally:
        await client.close()
        await client_of_lease.close()
    return 0
