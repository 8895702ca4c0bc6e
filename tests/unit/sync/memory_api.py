# ruff: noqa: ARG002 - the protocol says which arguments there are
"""As much of an API server as a store sync sees: bundles, a watch, status patches; it may be away for a while."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import count
from typing import Any

from comfyard.kube.errors import NotFoundError, UnavailableError
from comfyard.kube.kinds import Kind, Obj
from comfyard.kube.protocol import JsonPatch, ObjectList, WatchEvent


class MemoryApi:
    """Bundles of one namespace.

    Attributes:
        patches: The status patches that were accepted, with the bundle's name, in order.
        away: Whether nothing is answered.
        refused: Requests that found nobody there.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Obj] = {}
        self.patches: list[tuple[str, dict[str, Any]]] = []
        self.away = False
        self.refused = 0
        self._changed = asyncio.Condition()
        self._log: list[WatchEvent] = []

    async def put(self, name: str, models: list[dict[str, Any]], claim: str = "models") -> None:
        """Create a bundle, or change its spec."""
        before = self.objects.get(name)
        generation = before["metadata"]["generation"] + 1 if before else 1
        status = {**(before or {}).get("status", {}), "claimName": claim}
        metadata = {"name": name, "namespace": "studio", "uid": f"uid-{name}", "generation": generation}
        obj = {"metadata": metadata, "spec": {"models": models}, "status": status}
        await self._store(name, obj)

    async def remove(self, name: str) -> None:
        gone = self.objects.pop(name)
        await self._say(WatchEvent("DELETED", gone))

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.objects[name]["status"]
        return status

    async def until_row(self, name: str, **fields: Any) -> dict[str, Any]:
        """Wait for the first row of a bundle to say so."""

        def row() -> dict[str, Any]:
            rows: list[dict[str, Any]] = self.status(name).get("models") or [{}]
            return rows[0]

        async with self._changed:
            await self._changed.wait_for(lambda: all(row().get(k) == v for k, v in fields.items()))
        return row()

    async def until(self, true: Callable[[], object]) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(true()))

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> ObjectList:
        await self._answer()
        return ObjectList(copy.deepcopy(list(self.objects.values())), str(len(self._log)))

    async def watch(
        self, kind: Kind, namespace: str = "", *, resource_version: str, fields: Mapping[str, str] | None = None
    ) -> AsyncIterator[WatchEvent]:
        for at in count(int(resource_version)):
            async with self._changed:
                while len(self._log) <= at:
                    await self._changed.wait()
            yield copy.deepcopy(self._log[at])

    async def patch_status(
        self, kind: Kind, name: str, namespace: str, status: Mapping[str, Any], version: str = ""
    ) -> Obj:
        await self._answer()
        if name not in self.objects:
            raise NotFoundError(name, 404)
        obj = copy.deepcopy(self.objects[name])
        merged = {**obj["status"], **status}
        obj["status"] = {key: value for key, value in merged.items() if value is not None}
        self.patches.append((name, dict(status)))
        await self._store(name, obj)
        return obj

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        raise NotImplementedError

    async def apply(self, kind: Kind, obj: Obj) -> Obj:
        raise NotImplementedError

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        raise NotImplementedError

    async def delete(self, kind: Kind, name: str, namespace: str = "") -> None:
        raise NotImplementedError

    async def json_patch_status(self, kind: Kind, name: str, namespace: str, patch: JsonPatch) -> Obj:
        raise NotImplementedError

    async def _answer(self) -> None:
        if self.away:
            self.refused += 1
            async with self._changed:
                self._changed.notify_all()
            raise UnavailableError("nobody there")

    async def _store(self, name: str, obj: Obj) -> None:
        self.objects[name] = obj
        await self._say(WatchEvent("MODIFIED", obj))

    async def _say(self, event: WatchEvent) -> None:
        self._log.append(event)
        async with self._changed:
            self._changed.notify_all()
