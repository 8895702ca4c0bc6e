"""What the reconcilers share: cache, client, queue, and the one way to write a status."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from comfyard.controller.resources.access import build_access
from comfyard.controller.resources.claims import build_claim
from comfyard.controller.scheduler import Demand
from comfyard.controller.settings import Settings
from comfyard.controller.status import merge_patch
from comfyard.kube.errors import ConflictError, NotFoundError
from comfyard.kube.kinds import PERSISTENT_VOLUME_CLAIM, Kind, Obj, name_of, namespace_of
from comfyard.kube.protocol import KubeClient
from comfyard.runtime.cache import Cache, Key
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
SCHEDULER = Task("Scheduler", "", "")


@dataclass(frozen=True)
class Runnable:
    """A job that only needs a server.

    Attributes:
        demand: What it asks of the scheduler.
        job: The object that the decision was made from.
        accepted: Its status as accepted, not written yet.
    """

    demand: Demand
    job: Obj
    accepted: dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """The API server does not want another server of a pool: a quota, an admission policy, a namespace that ends.

    Attributes:
        message: Its words, the same each time: every change of them is a write to every waiting job.
        retry_at: When to ask again.
    """

    message: str
    retry_at: datetime


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Context:
    """The edges of the operator.

    Attributes:
        runnable: Jobs that wait for the scheduler.
        refused: Why the last server of a pool could not be made, by pool name.
    """

    def __init__(self, client: KubeClient, cache: Cache, settings: Settings) -> None:
        self.client = client
        self.cache = cache
        self.settings = settings
        self.runnable: dict[Key, Runnable] = {}
        self.refused: dict[str, Refusal] = {}
        self.queue: WorkQueue[Task]
        self._access: dict[str, str] = {}

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

    async def create(self, kind: Kind, obj: Obj) -> Obj | None:
        """Create; None when it exists already."""
        try:
            made = await self.client.create(kind, obj)
        except ConflictError:
            return None
        self.cache.put(kind, made)
        return made

    async def ensure_access(self, namespace: str) -> None:
        """Apply what our programs need in a namespace, when it has changed since we applied it last."""
        secrets = {
            job.spec.output.s3.secret_ref.name
            for (where, _), job in self.cache.jobs.unfinished.items()
            if where == namespace and job.spec.output.s3
        }
        wanted = build_access(namespace, sorted(secrets), self.settings.ip_families())
        key = digest([obj for _, obj in wanted])
        if self._access.get(namespace) == key:
            return
        for kind, obj in wanted:
            await self.client.apply(kind, obj)
        self._access[namespace] = key

    def forget_access(self) -> None:
        """Apply again on the next occasion: somebody may have changed or deleted it."""
        self._access.clear()

    async def ensure_results_claim(self, namespace: str, name: str) -> None:
        """Make the default claim for results when it is not there; a claim of another name is the user's."""
        if name != self.settings.results_claim or self.cache.get(PERSISTENT_VOLUME_CLAIM, namespace, name):
            return
        template = self.settings.claim_template(self.settings.results_size)
        await self.create(PERSISTENT_VOLUME_CLAIM, build_claim(name, namespace, template))
