"""A queue of keys, as controller-runtime has one: one worker a key at a time, additions meanwhile coalesce."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

_BACKOFF_BASE_SECONDS = 0.05
_BACKOFF_CAP_SECONDS = 60.0

_SHARE = 4
"""One key in so many is none of the urgent ones, however many these are: no key waits for ever."""


class WorkQueue(Generic[K]):
    """Keys that wait, keys that are worked on, keys that are to be looked at again later.

    Urgent keys go first, as a rule. A handler that raises is called again for the same key after a pause that doubles
    from 50 ms to a minute.
    """

    def __init__(self, handle: Callable[[K], Awaitable[None]]) -> None:
        self._handle = handle
        self._urgent: dict[K, None] = {}
        self._waiting: dict[K, None] = {}
        self._active: set[K] = set()
        self._again: dict[K, bool] = {}
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._turn = 0
        self._wake = asyncio.Event()

    def add(self, key: K, *, urgent: bool = False) -> None:
        """Look at the key soon."""
        if key in self._active:
            self._again[key] = urgent or self._again.get(key, False)
            return
        if urgent:
            self._waiting.pop(key, None)
            self._urgent[key] = None
        elif key not in self._urgent:
            self._waiting[key] = None
        self._wake.set()

    def add_after(self, key: K, seconds: float, *, urgent: bool = False) -> None:
        """Look at the key again after so many seconds, or earlier if something earlier is set already."""
        loop = asyncio.get_running_loop()
        known = self._timers.get(key)
        if known and not known.cancelled() and loop.time() < known.when() <= loop.time() + seconds:
            return
        if known:
            known.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key, urgent)

    async def run(self, workers: int) -> None:
        """Work on keys, so many at a time, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    def _due(self, key: K, urgent: bool) -> None:  # noqa: FBT001 - call_later has no keywords
        self._timers.pop(key, None)
        self.add(key, urgent=urgent)

    async def _next(self) -> K:
        while not (self._urgent or self._waiting):
            self._wake.clear()
            await self._wake.wait()
        self._turn += 1
        keys = self._urgent if self._urgent and (self._turn % _SHARE or not self._waiting) else self._waiting
        key = next(iter(keys))
        del keys[key]
        self._active.add(key)
        return key

    async def _work(self) -> None:
        while True:
            key = await self._next()
            try:
                await self._handle(key)
                self._failures.pop(key, None)
            except Exception as error:  # noqa: BLE001 - whatever it was, the key is not forgotten
                self._retry(key, error)
            finally:
                self._active.discard(key)
                if key in self._again:
                    self.add(key, urgent=self._again.pop(key))
            await asyncio.sleep(0)  # what needs no I/O must not keep others from theirs

    def _retry(self, key: K, error: Exception) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds = min(_BACKOFF_CAP_SECONDS, _BACKOFF_BASE_SECONDS * 2**failures)
        log.warning("%s: %s: %s; again in %.2g s", key, type(error).__name__, error, seconds)
        self.add_after(key, seconds)
