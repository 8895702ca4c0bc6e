"""Files into place, from an event loop: who waits for whom, what is tried again, and how it is stopped."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Literal, TypeVar
from weakref import WeakValueDictionary

import httpx2

from comfyard.store.download import Progress, Report
from comfyard.store.errors import StoreError
from comfyard.store.retry import Backoff
from comfyard.store.sources import origin_of
from comfyard.store.stop import Stop
from comfyard.store.store import Store
from comfyard.store.wants import Stored, Want

T = TypeVar("T")

Stage = Literal["Waiting", "Verifying", "Fetching"]


@dataclass(frozen=True)
class Step:
    """What is going on with one file.

    Attributes:
        stage: Waiting for its turn, hashing what is there, or fetching.
        progress: How far that is; what was known last while waiting.
        received: Bytes from the source since it was first asked for, over all attempts.
        trouble: Why the last attempt failed, until the next one has made progress.
        delay: Seconds until the next attempt.
    """

    stage: Stage
    progress: Progress
    received: int = 0
    trouble: StoreError | None = None
    delay: float = 0.0


Observe = Callable[[Step], None]
"""Called from any thread."""


class Fetcher:
    """Brings files into place, a few at a time, each content once.

    Args:
        store: Where to.
        client: For sources.
        parallel: How many at once.
        backoff: Between attempts.
    """

    def __init__(self, store: Store, client: httpx2.Client, parallel: int, backoff: Backoff | None = None) -> None:
        self._store = store
        self._client = client
        self._backoff = backoff or Backoff()
        self._slots = asyncio.Semaphore(parallel)
        self._contents: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ensure(self, want: Want, observe: Observe) -> Stored:
        """Bring a file into place, however long it takes; cancel it to stop, which keeps what there is.

        Args:
            want: The file.
            observe: Told what goes on.

        Raises:
            StoreError: For good.
        """
        following = _Following(observe)
        failures = 0
        while True:
            before = following.received
            try:
                return await self._attempt(want, following)
            except StoreError as error:
                if error.permanent:
                    raise
                failures = 1 if following.received > before else failures + 1
                jitter = random.random()  # noqa: S311 - spreads retries, protects nothing
                delay = self._backoff.delay(failures, error.retry_after, jitter)
                following.trouble(error, delay)
            await asyncio.sleep(delay)

    async def _attempt(self, want: Want, following: "_Following") -> Stored:
        stored = await in_thread(lambda _: self._store.settle(want))
        if stored:
            return stored
        following.waiting()
        async with self._content(want), self._slots:
            stored = await in_thread(lambda _: self._store.settle(want))
            if stored is None:
                report = following.reports("Verifying")
                stored = await in_thread(lambda stop: self._store.recover(want, report, stop))
            if stored is None:
                origin = origin_of(want.source, self._client)
                report = following.reports("Fetching")
                stored = await in_thread(lambda stop: self._store.fetch(want, origin, report, stop))
            return stored

    def _content(self, want: Want) -> AbstractAsyncContextManager[None]:
        """Whoever wants the same content waits, and then finds it there."""
        lock = self._contents.get(want.content_key)
        if lock is None:
            lock = self._contents[want.content_key] = asyncio.Lock()
        return lock


class _Following:
    """The steps of one file, over all attempts."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._step = Step("Waiting", Progress(0, None, 0))

    @property
    def received(self) -> int:
        """Bytes from the source so far."""
        return self._step.received

    def waiting(self) -> None:
        """It waits for its turn; trouble of the last attempt is still worth showing."""
        self._tell(Step("Waiting", self._step.progress, self.received, self._step.trouble))

    def trouble(self, error: StoreError, delay: float) -> None:
        """An attempt has failed."""
        self._tell(Step("Waiting", self._step.progress, self.received, error, delay))

    def reports(self, stage: Stage) -> Report:
        """What takes the progress of one attempt."""
        before = self.received
        return lambda progress: self._tell(Step(stage, progress, before + progress.received))

    def _tell(self, step: Step) -> None:
        self._step = step
        self._observe(step)


async def in_thread(work: Callable[[Stop], T]) -> T:
    """Run what blocks in a thread. Cancelled, it asks the thread to stop and returns only when it has.

    Raises:
        Exception: What the work raises.
    """
    stop = Stop()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.ask()
        while not task.done():
            with suppress(asyncio.CancelledError):  # asked again while it stops
                await asyncio.wait([task])
        task.exception()  # seen: it is what stopping looks like
        raise
