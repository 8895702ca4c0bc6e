"""The operator's client: writes go at a rate, by priority, and only as long as this replica may write."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from comfyard.kube.errors import NotLeadingError, UnavailableError
from comfyard.kube.kinds import Kind, Obj
from comfyard.kube.protocol import JsonPatch, KubeClient, ObjectList, WatchEvent
from comfyard.kube.rate_limit import Priority, RateLimiter

_TRIES = 10
"""Of a request that is asked to come later; as many as client-go makes."""

T = TypeVar("T")


class PacedClient:
    """A KubeClient whose writes wait for their turn. Reads do not: what is decided from must be there.

    Where the API server asks for patience (Retry-After of 429 and 5xx), the request is made again after that time, and
    no write goes out before.

    Example:
        ``await client.at(Priority.TEXT).patch_status(…)``
    """

    def __init__(
        self,
        client: KubeClient,
        limiter: RateLimiter,
        may_write: Callable[[], bool],
        priority: Priority = Priority.NORMAL,
    ) -> None:
        self._client = client
        self._limiter = limiter
        self._may_write = may_write
        self._priority = priority

    def at(self, priority: Priority) -> "PacedClient":
        """The same client, for writes of that priority."""
        return PacedClient(self._client, self._limiter, self._may_write, priority)

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        """See KubeClient."""
        return await self._read(lambda: self._client.get(kind, name, namespace))

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> ObjectList:
        """See KubeClient."""
        return await self._read(lambda: self._client.list(kind, namespace, labels=labels, fields=fields))

    def pages(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> AsyncIterator[ObjectList]:
        """See KubeClient."""
        return self._client.pages(kind, namespace, labels=labels, fields=fields)

    def watch(
        self, kind: Kind, namespace: str = "", *, resource_version: str, fields: Mapping[str, str] | None = None
    ) -> AsyncIterator[WatchEvent]:
        """See KubeClient."""
        return self._client.watch(kind, namespace, resource_version=resource_version, fields=fields)

    async def apply(self, kind: Kind, obj: Obj) -> Obj:
        """See KubeClient."""
        return await self._write(lambda: self._client.apply(kind, obj))

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        """See KubeClient."""
        return await self._write(lambda: self._client.create(kind, obj))

    async def delete(self, kind: Kind, name: str, namespace: str = "", *, uid: str = "", version: str = "") -> None:
        """See KubeClient."""
        await self._write(lambda: self._client.delete(kind, name, namespace, uid=uid, version=version))

    async def patch(self, kind: Kind, name: str, namespace: str, patch: Mapping[str, Any], version: str) -> Obj:
        """See KubeClient."""
        return await self._write(lambda: self._client.patch(kind, name, namespace, patch, version))

    async def patch_status(
        self, kind: Kind, name: str, namespace: str, status: Mapping[str, Any], version: str = ""
    ) -> Obj:
        """See KubeClient."""
        return await self._write(lambda: self._client.patch_status(kind, name, namespace, status, version))

    async def json_patch_status(self, kind: Kind, name: str, namespace: str, patch: JsonPatch) -> Obj:
        """See KubeClient."""
        return await self._write(lambda: self._client.json_patch_status(kind, name, namespace, patch))

    async def _write(self, request: Callable[[], Awaitable[T]]) -> T:
        async def turn() -> None:
            await self._limiter.wait(self._priority)
            if not self._may_write():  # asked last: who waits long may have lost the right to write
                raise NotLeadingError("another replica of the operator may have the lead")

        return await _patiently(request, turn, self._limiter.pause)

    async def _read(self, request: Callable[[], Awaitable[T]]) -> T:
        pause = 0.0

        async def turn() -> None:
            await asyncio.sleep(pause)

        def put_off(seconds: float) -> None:
            nonlocal pause
            pause = seconds

        return await _patiently(request, turn, put_off)


async def _patiently(
    request: Callable[[], Awaitable[T]], turn: Callable[[], Awaitable[None]], put_off: Callable[[float], None]
) -> T:
    """Make a request when it is its turn, and again when the API server asks for that."""
    for _ in range(_TRIES - 1):
        await turn()
        try:
            return await request()
        except UnavailableError as error:
            if not error.retry_after:
                raise
            put_off(error.retry_after)
    await turn()
    return await request()
