"""Files into place, from an event loop: who waits for whom, what is tried again, and how it is stopped."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar
from weakref import WeakValueDictionary

from comfyard.store.errors import InUseError, NoSpaceError, StoreError, VolumeError
from comfyard.store.http.web import Web
from comfyard.store.origin import Origin
from comfyard.store.retry import Backoff
from comfyard.store.sources import origin_of
from comfyard.store.store import Store
from comfyard.store.threads import ended, in_thread
from comfyard.store.transfer.download import Progress, Report
from comfyard.store.transfer.journal import Partial
from comfyard.store.transfer.measure import measure
from comfyard.store.wants import Stored, Want

T = TypeVar("T")

Stage = Literal["Waiting", "Verifying", "Fetching"]

_MEASURED_AT_ONCE = 2


@dataclass(frozen=True)
class Step:
    """What is going on with one file.

    Attributes:
        stage: Waiting for its turn, hashing what is there, or fetching.
        progress: How far that is; what was known last while waiting.
        received: Bytes from the source since it was first asked for, over all attempts.
        trouble: Why the last attempt failed, until the next one has made progress.
        delay: Seconds until the next attempt, or until the next look whether it is worth one.
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
        web: How sources are reached.
        parallel: How many at once.
        backoff: Between attempts.
        sources_directory: Where other claims are mounted, by name.
        claim: Name of the store's own claim.
    """

    def __init__(
        self,
        store: Store,
        web: Web,
        parallel: int,
        *,
        backoff: Backoff | None = None,
        sources_directory: Path = Path("/sources"),
        claim: str = "",
    ) -> None:
        self._store = store
        self._web = web
        self._backoff = backoff or Backoff()
        self._sources_directory = sources_directory
        self._claim = claim
        self._slots = asyncio.Semaphore(parallel)
        self._looks = asyncio.Semaphore(_MEASURED_AT_ONCE)
        self._contents: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def settle(self, want: Want, *, replace: bool = True) -> Stored | None:
        """Put in place what is known to be there, and fetch nothing.

        Args:
            want: The file.
            replace: Whether another content of ours may be replaced under its path.

        Raises:
            StoreError: It cannot be put there.
        """
        return await in_thread(lambda _: self._store.settle(want, replace=replace))

    async def verify(self, want: Want, observe: Observe) -> Stored | None:
        """Read a file that is in place again, when it is its turn.

        Args:
            want: The file.
            observe: Told what goes on.

        Returns:
            What is there; None when it was not what it should be and is gone: `ensure` brings it back.

        Raises:
            StoreError: The volume does not read or write.
        """
        following = _Following(observe)
        async with self._content(want), self._slots:
            report = following.reports("Verifying")
            return await in_thread(lambda stop: self._store.verify(want, report, stop))

    async def ensure(self, want: Want, observe: Observe, *, replace: bool = True) -> Stored:
        """Bring a file into place, however long it takes; cancel it to stop, which keeps what there is.

        Args:
            want: The file.
            observe: Told what goes on.
            replace: Whether another content of ours may be replaced under its path; if not, it waits until it may.

        Raises:
            StoreError: For good.
        """
        following = _Following(observe)
        failures = 0
        while True:
            before = following.received
            try:
                return await self._attempt(want, following, replace=replace)
            except NoSpaceError as error:
                with suppress(VolumeError):  # the next attempt will say so
                    await self._room(error, following)
            except StoreError as error:
                if error.permanent:
                    raise
                failures = 1 if following.received > before else failures + 1
                delay = self._delay(failures, error)
                following.trouble(error, delay)
                await asyncio.sleep(delay)

    def _delay(self, failures: int, trouble: StoreError) -> float:
        if isinstance(trouble, InUseError):
            return self._backoff.look
        jitter = random.random()  # noqa: S311 - spreads retries, protects nothing
        return self._backoff.delay(failures, trouble.retry_after, jitter)

    async def _attempt(self, want: Want, following: "_Following", *, replace: bool) -> Stored:
        stored = await self.settle(want, replace=replace)
        if stored:
            return stored
        following.waiting()
        async with self._content(want), self._turn(want, following):
            stored = await self.settle(want, replace=replace)
            if stored is None:
                report = following.reports("Verifying")
                stored = await in_thread(lambda stop: self._store.recover(want, report, stop, replace=replace))
            if stored is None:
                report = following.reports("Fetching")
                stored = await in_thread(
                    lambda stop: self._store.fetch(want, self._origin(want), self._web, report, stop, replace=replace)
                )
            return stored

    def _origin(self, want: Want) -> Origin:
        return origin_of(want, self._web, self._store.layout.root, self._sources_directory, self._claim)

    def _content(self, want: Want) -> AbstractAsyncContextManager[None]:
        """Whoever wants the same content waits, and then finds it there."""
        lock = self._contents.get(want.content_key)
        if lock is None:
            lock = self._contents[want.content_key] = asyncio.Lock()
        return lock

    @asynccontextmanager
    async def _turn(self, want: Want, following: "_Following") -> AsyncIterator[None]:
        """One of the slots; who has to wait for it is measured meanwhile."""
        measuring = asyncio.ensure_future(self._measure(want, following)) if self._slots.locked() else None
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            await _end(measuring)
            raise
        try:
            await _end(measuring)
            yield
        finally:
            self._slots.release()

    async def _measure(self, want: Want, following: "_Following") -> None:
        """Find out how large a file is, and let it be counted until cancelled. What fails, fails again at its turn."""
        if want.source.git:  # takes fetching it
            return
        size = None
        with suppress(StoreError):
            async with self._looks:
                size = await in_thread(lambda stop: measure(self._origin(want), self._web, stop))
        if size is None:
            return
        following.measured(size)
        there = Partial(self._store.layout.partial, want.content_key).allocated()
        with self._store.space.waiting(max(0, size - there)):
            await asyncio.Event().wait()

    async def _room(self, trouble: NoSpaceError, following: "_Following") -> None:
        """Wait until another attempt is worth it: there is room, or more than there was, or a quota may have grown."""
        space, look, waited = self._store.space, self._backoff.look, 0.0
        with space.waiting(trouble.needed or 0) as wish:
            before = await in_thread(lambda _: space.free())
            while True:
                following.trouble(trouble, look)
                await asyncio.sleep(look)
                waited += look
                free = await in_thread(lambda _: space.free())
                short = space.short(trouble.needed or 0, free, wish)
                if not short and (trouble.needed or free > before or waited >= self._backoff.most):
                    return
                trouble = short or trouble


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

    def measured(self, size: int) -> None:
        """It waits, and this is its size."""
        self._tell(replace(self._step, progress=replace(self._step.progress, size=size)))

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


async def _end(task: "asyncio.Task[Any] | None") -> None:
    if task:
        task.cancel()
        await ended(task)
