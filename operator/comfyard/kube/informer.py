"""A local copy of a selection of objects, kept by LIST and WATCH, for programs that follow a few objects.

The watch makes it quick and the LIST makes it right: it is repeated often enough to heal what a watch has missed, and
to notice that the API server cannot be reached any more.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Mapping

from comfyard.kube.errors import ApiError
from comfyard.kube.kinds import Kind, Obj, name_of
from comfyard.kube.protocol import KubeClient

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
"""At least half of it and at most twice: hundreds of agents that are refused at once must not come back at once."""


class Informer:
    """Objects of one kind in one namespace, by name.

    Attributes:
        objects: What the API server said last.
        synced: Set once the first LIST is in.
        last_contact: When a LIST succeeded last, by `time.monotonic()`; 0 before the first.
    """

    def __init__(
        self,
        client: KubeClient,
        kind: Kind,
        namespace: str,
        *,
        fields: Mapping[str, str] | None = None,
        resync_seconds: float = 10.0,
    ) -> None:
        self.objects: dict[str, Obj] = {}
        self.synced = asyncio.Event()
        self.last_contact = 0.0
        self._client = client
        self._kind = kind
        self._namespace = namespace
        self._fields = fields
        self._resync_seconds = resync_seconds
        self._changed = asyncio.Event()

    async def changed(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - a poll with a bound, not a deadline
        """Wait for a change since the last call, at most so many seconds; whether there was one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):  # wait_for of Python 3.11 swallows a cancellation at the wrong moment
                await self._changed.wait()
        seen = self._changed.is_set()
        self._changed.clear()
        return seen

    async def run(self) -> None:
        """Follow the objects until cancelled."""
        while True:
            try:
                version = await self._list()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._resync_seconds):
                        await self._watch(version)
            except ApiError as error:
                log.warning("cannot follow %s: %s", self._kind.plural, error)
                jitter = random.uniform(0.5, 2)  # noqa: S311 - spreads retries, protects nothing
                await asyncio.sleep(jitter * _RETRY_SECONDS)

    async def _list(self) -> str:
        found = await self._client.list(self._kind, self._namespace, fields=self._fields)
        objects = {name_of(item): item for item in found.items}
        if objects != self.objects or not self.synced.is_set():
            self.objects = objects
            self._changed.set()
        self.last_contact = time.monotonic()
        self.synced.set()
        return found.resource_version

    async def _watch(self, version: str) -> None:
        events = self._client.watch(self._kind, self._namespace, resource_version=version, fields=self._fields)
        async for event in events:
            if event.type == "DELETED":
                self.objects.pop(name_of(event.object), None)
            else:
                self.objects[name_of(event.object)] = event.object
            self._changed.set()
