"""A task for each file that is wanted, and what it has come to."""

import asyncio
import logging
import time
from collections.abc import Callable

from comfyard.store.errors import StoreError
from comfyard.store.fetcher import Fetcher, Observe, Step, in_thread
from comfyard.store.store import Store
from comfyard.store.wants import Want
from comfyard.sync.states import FileState, failed, going_on, in_place
from comfyard.sync.wanted import Wanted

log = logging.getLogger(__name__)

_TELL_SECONDS = 0.25
"""Between two looks at the bytes of one file."""


class Worker:
    """Works on the files that are wanted, and lets go of those that are not any more.

    Args:
        fetcher: Brings one file into place.
        store: Its store.
        group: Where the tasks live; what nobody expects ends them all.
        changed: Called when a state has changed.
    """

    def __init__(self, fetcher: Fetcher, store: Store, group: asyncio.TaskGroup, changed: Callable[[], None]) -> None:
        self._fetcher = fetcher
        self._store = store
        self._group = group
        self._changed = changed
        self._tasks: dict[Want, asyncio.Task[None]] = {}
        self._states: dict[Want, FileState] = {}
        self._swept: set[str] | None = None

    def state_of(self, want: Want) -> FileState | None:
        """What a file has come to; None before the first look at it."""
        return self._states.get(want)

    async def follow(self, wanted: Wanted) -> None:
        """Work on these and on nothing else, from now on.

        What nobody wants is stopped before its unfinished file is removed, and before anything new begins: it may be
        the same file from another source.
        """
        wants = set(wanted.files.values())
        gone = [task for want, task in self._tasks.items() if want not in wants]
        for task in gone:
            task.cancel()
        if gone:
            await asyncio.wait(gone)
        self._tasks = {want: task for want, task in self._tasks.items() if want in wants}
        self._states = {want: state for want, state in self._states.items() if want in wants}
        await self._sweep({want.content_key for want in wants})
        for want in wanted.files.values():
            if want not in self._tasks:
                self._tasks[want] = self._group.create_task(self._work(want))

    async def _sweep(self, keys: set[str]) -> None:
        if keys == self._swept:
            return
        try:
            await in_thread(lambda _: self._store.sweep(keys))
        except StoreError as error:
            log.warning("%s", error)
        else:
            self._swept = keys

    async def _work(self, want: Want) -> None:
        try:
            stored = await self._fetcher.ensure(want, self._observer(want))
        except StoreError as error:
            log.warning("%s: %s: %s", want.path, error.reason, error)
            self._take(want, failed(error, self._states.get(want)))
        else:
            log.info("%s is in place: sha256 %s, %d bytes", want.path, stored.sha256, stored.size)
            self._take(want, in_place(stored, self._states.get(want)))

    def _observer(self, want: Want) -> Observe:
        """Passes steps from other threads to this loop: changes at once, bytes now and then."""
        loop = asyncio.get_running_loop()
        told: Step | None = None
        told_at = 0.0

        def observe(step: Step) -> None:
            nonlocal told, told_at
            now = time.monotonic()
            same = told is not None and (told.stage, told.trouble, told.progress.size) == (
                step.stage,
                step.trouble,
                step.progress.size,
            )
            if same and now - told_at < _TELL_SECONDS:
                return
            told, told_at = step, now
            loop.call_soon_threadsafe(self._take, want, going_on(step))

        return observe

    def _take(self, want: Want, state: FileState) -> None:
        if want in self._tasks and self._states.get(want) != state:
            self._states[want] = state
            self._changed()
