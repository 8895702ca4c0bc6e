"""What the reconcilers share: cache, client, queue, and the one way to write a status."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from comfyard.api.conditions import timestamp
from comfyard.api.generation_job import GenerationJob, Receipt
from comfyard.api.meta import MANAGED_BY
from comfyard.controller.resources.access import Named, build_access
from comfyard.controller.resources.claims import build_claim
from comfyard.controller.resources.sync_job import sync_name
from comfyard.controller.scheduler import Demand
from comfyard.controller.settings import Settings
from comfyard.controller.status import merge_patch
from comfyard.kube.errors import ApiError, ConflictError, ForbiddenError, InvalidError, NotFoundError
from comfyard.kube.events import EventType, build_event
from comfyard.kube.kinds import (
    CONFIG_MAP,
    EVENT,
    MODEL_BUNDLE,
    PERSISTENT_VOLUME_CLAIM,
    Kind,
    Obj,
    name_of,
    namespace_of,
)
from comfyard.kube.protocol import KubeClient
from comfyard.runtime.cache import Cache, Key
from comfyard.runtime.graphs import Graphs
from comfyard.runtime.job_secrets import job_secrets
from comfyard.runtime.work_queue import WorkQueue
from comfyard.workflow.digest import digest

log = logging.getLogger(__name__)


class Task(NamedTuple):
    """A key of the work queue: what to reconcile."""

    what: str
    namespace: str
    name: str


STORE = "Store"
ACCESS = "Access"
REVISIONS = "Revisions"
NODE_REPORTS = Task("NodeReports", "", "")
SCHEDULER = Task("Scheduler", "", "")


@dataclass(frozen=True)
class Runnable:
    """A job that only needs a server.

    Attributes:
        demand: What it asks of the scheduler.
        obj: The object that the decision was made from.
        job: The same, read.
        accepted: Its status as accepted, not written yet.
        receipt: What is to be written with its assignment.
    """

    demand: Demand
    obj: Obj
    job: GenerationJob
    accepted: dict[str, Any]
    receipt: Receipt


@dataclass(frozen=True)
class Refusal:
    """The API server does not want an object: a quota, an admission policy, a namespace that ends.

    Attributes:
        message: Its words, the same each time: every change of them is a write to all that wait for it.
        retry_at: When to ask again.
        reason: One word in CamelCase, for a condition.
    """

    message: str
    retry_at: datetime
    reason: str = "Refused"


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def refusal_key(kind: Kind, obj: Obj) -> str:
    """What an object that was refused is known by."""
    return f"{kind.plural}/{namespace_of(obj)}/{name_of(obj)}"


class Context:
    """The edges of the operator.

    Attributes:
        runnable: Jobs that wait for the scheduler.
        refused: Why something could not be made: servers by their pool's name, jobs of a sweep by the `refusal_key` of
            that, others by their own.
        sweeps_written: When the status of a sweep was written last, by `time.monotonic()`.
        assigning: Held while jobs get servers, and while a bundle is judged that they may use: a bundle that was seen
            unused stays so until that is written, and no job that was ready with its old files runs afterwards.
        graphs: What templates have in ConfigMaps.
        server_keys: What the servers of each profile are, as far as their node classes go, when templates were last
            looked at because of that.
    """

    def __init__(self, client: KubeClient, cache: Cache, settings: Settings) -> None:
        self.client = client
        self.cache = cache
        self.settings = settings
        self.runnable: dict[Key, Runnable] = {}
        self.refused: dict[str, Refusal] = {}
        self.sweeps_written: dict[Key, float] = {}
        self.assigning = asyncio.Lock()
        self.queue: WorkQueue[Task]
        self.graphs = Graphs(client)
        self.server_keys: dict[str, str] = {}
        self._access: dict[str, str] = {}

    def waiting(self) -> dict[Key, Runnable]:
        """What is left to the scheduler: jobs that have no server.

        A job that is looked at while its assignment is being written seems to want a server, and has one.
        """
        return {key: each for key, each in self.runnable.items() if not self.cache.jobs.is_assigned(key)}

    async def write_status(self, kind: Kind, obj: Obj, after: Mapping[str, Any]) -> None:
        """Write what differs, on the condition that the object is still as it was read. Nothing to write: no request.

        Raises ConflictError when it has changed; the change brings the key back.
        """
        patch = merge_patch(obj.get("status", {}), after)
        if not patch:
            return
        version = str(obj["metadata"]["resourceVersion"])
        try:
            written = await self.client.patch_status(kind, name_of(obj), namespace_of(obj), patch, version)
        except NotFoundError:
            return  # deleted meanwhile; its event tells
        self.cache.put(kind, written)

    async def write_finalizers(self, kind: Kind, obj: Obj, finalizers: Sequence[str]) -> Obj | None:
        """Change metadata.finalizers, on the same condition. Returns the object; None when it goes away with that."""
        version = str(obj["metadata"]["resourceVersion"])
        patch = {"metadata": {"finalizers": list(finalizers)}}
        try:
            written = await self.client.patch(kind, name_of(obj), namespace_of(obj), patch, version)
        except NotFoundError:
            return None
        if written["metadata"].get("deletionTimestamp") and not finalizers:
            return None
        self.cache.put(kind, written)
        return written

    async def create(self, kind: Kind, obj: Obj) -> Obj | None:
        """Create; None when it exists already."""
        try:
            made = await self.client.create(kind, obj)
        except ConflictError:
            return None
        self.cache.put(kind, made)
        return made

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete; that it is gone already is fine, and forgotten here."""
        try:
            await self.client.delete(kind, name, namespace)
        except NotFoundError:
            self.cache.remove(kind, (namespace, name))

    async def end(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete what takes its time to go: from now on it counts as being deleted, whenever its event comes."""
        await self.delete(kind, namespace, name)
        known = self.cache.get(kind, namespace, name)
        if known:
            ending = {**known["metadata"], "deletionTimestamp": timestamp(now())}
            self.cache.put(kind, {**known, "metadata": ending})

    async def make(self, kind: Kind, obj: Obj, every: float) -> Obj | Refusal | None:
        """Create what may be refused. It is asked for again after so many seconds, not earlier.

        Returns the object, or why the API server did not want it, now or lately; None when it exists already.
        """
        key = refusal_key(kind, obj)
        refused = self.refused.get(key)
        if refused and now() < refused.retry_at:
            return refused
        try:
            made = await self.create(kind, obj)
        except (ForbiddenError, InvalidError) as error:
            log.warning("%s was refused: %s", key, error)
            self.refused[key] = Refusal(str(error), now() + timedelta(seconds=every))
            return self.refused[key]
        self.refused.pop(key, None)
        return made

    async def tell(self, kind: Kind, about: Obj, event_type: EventType, reason: str, message: str) -> None:
        """Write an event on an object. What cannot be told is no reason to stop."""
        try:
            await self.client.create(EVENT, build_event(about, kind, event_type, reason, message, MANAGED_BY, now()))
        except ApiError as error:
            log.warning("event %s of %s %s is lost: %s", reason, kind.kind, name_of(about), error)

    async def ensure_access(self, namespace: str) -> None:
        """Apply what our programs need in a namespace, when it has changed since we applied it last."""
        families, image = self.settings.ip_families(), self.settings.image
        wanted = build_access(namespace, self._named(namespace), families, image)
        key = digest([obj for _, obj in wanted])
        if self._access.get(namespace) == key:
            return
        for kind, obj in wanted:
            await self.client.apply(kind, obj)
        self._access[namespace] = key

    def _named(self, namespace: str) -> Named:
        accepted = {key: runnable.accepted for key, runnable in self.runnable.items()}
        bundles = self.cache.select(MODEL_BUNDLE, namespace)
        return Named(
            job_secrets=job_secrets(self.cache, accepted, namespace),
            bundle_secrets={c["secretRef"]["name"] for b in bundles for c in b["spec"].get("credentials", [])},
            inventories={sync_name(claim) for b in bundles if (claim := b.get("status", {}).get("claimName"))},
            node_reports={name for where, name in self.cache.keys(CONFIG_MAP) if where == namespace},
        )

    def forget_access(self) -> None:
        """Apply again on the next occasion: somebody may have changed or deleted it."""
        self._access.clear()

    async def ensure_results_claim(self, namespace: str, name: str) -> None:
        """Make the default claim for results when it is not there; a claim of another name is the user's."""
        if name != self.settings.results_claim or self.cache.get(PERSISTENT_VOLUME_CLAIM, namespace, name):
            return
        template = self.settings.claim_template(self.settings.results_size)
        await self.create(PERSISTENT_VOLUME_CLAIM, build_claim(name, namespace, template))
