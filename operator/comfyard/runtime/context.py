"""What the reconcilers share: cache, client, queue, and the one way to write a status."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from comfyard.api.conditions import timestamp
from comfyard.api.meta import MANAGED_BY
from comfyard.controller.queue import PoolKey, Queue
from comfyard.controller.resources.access import Named, build_access
from comfyard.controller.resources.claims import build_claim
from comfyard.controller.resources.sync_job import sync_name
from comfyard.controller.settings import Settings
from comfyard.controller.start_ups import StartUps
from comfyard.controller.status import merge_patch
from comfyard.controller.trouble import Trouble
from comfyard.controller.warm_up import WarmUp
from comfyard.kube.applied import is_applied
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
from comfyard.kube.paced_client import PacedClient
from comfyard.kube.rate_limit import Priority
from comfyard.runtime.cache import Cache, Change, Key
from comfyard.runtime.graphs import Graphs
from comfyard.runtime.job_secrets import secrets_of_jobs
from comfyard.runtime.waits import Waits
from comfyard.runtime.work_queue import WorkQueue

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
WAITING = Task("Waiting", "", "")


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


def _nobody_listens(_change: Change) -> None:
    """Before the operator works, nothing is to be looked at."""


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def refusal_key(kind: Kind, obj: Obj) -> str:
    """What an object that was refused is known by."""
    return f"{kind.plural}/{namespace_of(obj)}/{name_of(obj)}"


class Context:
    """The edges of the operator.

    Attributes:
        queue: What is to be looked at.
        changed: Called with every change of an object, whoever has made it.
        demands: Jobs that wait for a server. Their statuses do not say so yet, or say it in other words.
        blocked: Why they wait, by pool, as the scheduler has said last.
        waits: Which of them, and of those that wait for something else, are to be told so.
        starting: Jobs whose assignment is being written, and the Secrets that it decides on: nothing else is decided
            about them meanwhile.
        refused: Why something could not be made: jobs of a sweep by the `refusal_key` of that, others by their own.
        sweeps_written: When the status of a sweep was written last, by `time.monotonic()`.
        assigning: Held while jobs get servers, and while a bundle is judged that they may use: a bundle that was seen
            unused stays so until that is written, and no job that was ready with its old files runs afterwards.
        next_pass: When the scheduler may decide again, by the time of the event loop.
        graphs: What templates have in ConfigMaps.
        server_keys: What the servers of each profile are, as far as their node classes go, when templates were last
            looked at because of that.
        start_ups: Which pools fail to start.
        told: Why servers are not set up on their nodes, as their events tell.
        warm_ups: What the servers of a profile are warmed up with, or why they are not; by the profile's name.
    """

    def __init__(self, client: PacedClient, cache: Cache, settings: Settings) -> None:
        self.client = client
        self.cache = cache
        self.settings = settings
        self.queue: WorkQueue[Task]
        self.changed: Callable[[Change], None] = _nobody_listens
        self.demands = Queue()
        self.blocked: dict[PoolKey, str] = {}
        self.waits = Waits()
        self.starting: dict[Key, set[str]] = {}
        self.refused: dict[str, Refusal] = {}
        self.sweeps_written: dict[Key, float] = {}
        self.assigning = asyncio.Lock()
        self.next_pass = 0.0
        self.graphs = Graphs(client)
        self.server_keys: dict[str, str] = {}
        self.start_ups = StartUps()
        self.told: dict[Key, Trouble] = {}
        self.warm_ups: dict[str, WarmUp | Trouble] = {}
        self._access: dict[str, Named] = {}

    def take(self, kind: Kind, obj: Obj) -> None:
        """Take in an object as the API server tells it, in an event or as the answer to a write."""
        change = self.cache.put(kind, obj)
        if change:
            self.changed(change)

    def hear(self, kind: Kind, event_type: str | None, obj: Obj) -> None:
        """Take in one event of a watch."""
        change = self.cache.drop(kind, obj) if event_type == "DELETED" else self.cache.put(kind, obj)
        if change:
            self.changed(change)

    def forget(self, kind: Kind, key: Key) -> None:
        """Take in that an object is not there."""
        change = self.cache.remove(kind, key)
        if change:
            self.changed(change)

    def amend(self, kind: Kind, obj: Obj) -> None:
        """Take in what will be told of an object soon."""
        self.changed(self.cache.amend(kind, obj))

    async def write_status(
        self, kind: Kind, obj: Obj, after: Mapping[str, Any], priority: Priority = Priority.NORMAL
    ) -> None:
        """Write what differs, on the condition that the object is still as it was read. Nothing to write: no request.

        Raises ConflictError when it has changed; the change brings the key back.
        """
        patch = merge_patch(obj.get("status", {}), after)
        if not patch:
            return
        version = str(obj["metadata"]["resourceVersion"])
        try:
            client = self.client.at(priority)
            written = await client.patch_status(kind, name_of(obj), namespace_of(obj), patch, version)
        except NotFoundError:
            return  # deleted meanwhile; its event tells
        self.take(kind, written)

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
        self.take(kind, written)
        return written

    async def create(self, kind: Kind, obj: Obj) -> Obj | None:
        """Create; None when it exists already."""
        try:
            made = await self.client.create(kind, obj)
        except ConflictError:
            return None
        self.take(kind, made)
        return made

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete; that it is gone already is fine, and forgotten here."""
        try:
            await self.client.delete(kind, name, namespace)
        except NotFoundError:
            self.forget(kind, (namespace, name))

    async def end(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete what takes its time to go: from now on it counts as being deleted, whenever its event comes."""
        await self.delete(kind, namespace, name)
        known = self.cache.get(kind, namespace, name)
        if known:
            ending = {**known["metadata"], "deletionTimestamp": timestamp(now())}
            self.amend(kind, {**known, "metadata": ending})

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
        """Apply what our programs need in a namespace, when that has changed since we looked last.

        Reading first costs little: an operator that starts in a hundred namespaces finds everything as it left it.
        """
        named = self._named(namespace)
        if self._access.get(namespace) == named:
            return
        for kind, obj in build_access(namespace, named, self.settings.ip_families(), self.settings.image):
            if not await self._is_applied(kind, obj):
                await self.client.apply(kind, obj)
        self._access[namespace] = named

    async def _is_applied(self, kind: Kind, obj: Obj) -> bool:
        try:
            return is_applied(obj, await self.client.get(kind, name_of(obj), namespace_of(obj)))
        except NotFoundError:
            return False

    def _named(self, namespace: str) -> Named:
        starting = (secrets for (where, _), secrets in self.starting.items() if where == namespace)
        bundles = self.cache.select(MODEL_BUNDLE, namespace)
        return Named(
            job_secrets=secrets_of_jobs(self.cache, namespace).union(*starting),
            bundle_secrets={c["secretRef"]["name"] for b in bundles for c in b["spec"].get("credentials", [])},
            inventories={sync_name(claim) for b in bundles if (claim := b.get("status", {}).get("claimName"))},
            node_reports=set(self.cache.names(CONFIG_MAP, namespace)),
        )

    def forget_access(self) -> None:
        """Look again on the next occasion: somebody may have changed or deleted it."""
        self._access.clear()

    async def ensure_results_claim(self, namespace: str, name: str) -> None:
        """Make the default claim for results when it is not there; a claim of another name is the user's."""
        if name != self.settings.results_claim or self.cache.get(PERSISTENT_VOLUME_CLAIM, namespace, name):
            return
        template = self.settings.claim_template(self.settings.results_size)
        await self.create(PERSISTENT_VOLUME_CLAIM, build_claim(name, namespace, template))
