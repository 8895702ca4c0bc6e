"""A task for each file that is wanted, and what it has come to."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from datetime import datetime

from comfyard.store.errors import StoreError
from comfyard.store.fetcher import Fetcher, Observe, Stage, Step
from comfyard.store.wants import Stored, Want
from comfyard.sync.states import FileState, How, corrupted, failed, going_on, in_place, suspended
from comfyard.sync.wanted import Need, Wanted

log = logging.getLogger(__name__)

_TELL_SECONDS = 0.25
"""Between two looks at the bytes of one file."""

_EARLY = 0.9
"""Part of the time between two verifications after which a file is read along with those that must be."""


class Worker:
    """Works on the files that are wanted, and lets go of those that are not any more.

    Args:
        fetcher: Brings one file into place.
        group: Where the tasks live; what nobody expects ends them all.
        changed: Called when a state has changed.
    """

    def __init__(self, fetcher: Fetcher, group: asyncio.TaskGroup, changed: Callable[[], None]) -> None:
        self._fetcher = fetcher
        self._group = group
        self._changed = changed
        self._needs: dict[Want, Need] = {}
        self._tasks: dict[Want, asyncio.Task[None]] = {}
        self._began: dict[Want, float] = {}
        self._states: dict[Want, FileState] = {}
        self._known: Collection[tuple[str, str]] = ()
        self._corrupted: set[Want] = set()

    def state_of(self, want: Want) -> FileState | None:
        """What a file has come to; None before the first look at it."""
        return self._states.get(want)

    async def let_go(self, wanted: Wanted) -> None:
        """Stop the work on what is not wanted any more, or not in this way; what was fetched of it is kept.

        It has ended when this returns: others may then clear away what it has left, or begin anew on the same file.
        """
        needs = {need.want: need for need in wanted.files.values()}
        gone = [task for want, task in self._tasks.items() if not _same_way(self._needs[want], needs.get(want))]
        for task in gone:
            task.cancel()
        if gone:
            await asyncio.wait(gone)
        self._tasks = {want: task for want, task in self._tasks.items() if task not in gone}
        self._began = {want: began for want, began in self._began.items() if want in self._tasks}
        self._states = {
            want: state
            for want, state in self._states.items()
            if want in self._tasks or (want in needs and state.state == "Ready")
        }
        self._corrupted &= needs.keys()

    def take_on(self, wanted: Wanted, known: Collection[tuple[str, str]]) -> None:
        """Work on everything that is wanted and not in work.

        Args:
            wanted: What is wanted.
            known: Path and SHA-256 of what was in place before, for whichever bundle.
        """
        self._needs = {need.want: need for need in wanted.files.values()}
        self._known = known
        for want, need in self._needs.items():
            if want not in self._tasks:
                self._begin(need)

    def failed(self, reasons: Collection[str]) -> frozenset[Want]:
        """What has failed for such a reason."""
        return frozenset(w for w, state in self._states.items() if state.state == "Failed" and state.reason in reasons)

    def retry(self, reasons: Collection[str], before: float) -> None:
        """Try again what has failed for such a reason.

        Args:
            reasons: Why it has failed.
            before: Attempts that began later, by `time.monotonic()`, have nothing new to hope for.
        """
        for want in self.failed(reasons):
            if self._tasks[want].done() and self._began[want] < before:
                del self._states[want]
                self._begin(self._needs[want])

    def verify(self, now: datetime) -> bool:
        """Begin to read a file again if it is time for one; one after the other, and nothing that is missing waits.

        Returns:
            Whether there is one that is being read, or should be.
        """
        due = [(state.verified or now, want) for want, state in self._states.items() if self._is_due(want, state, now)]
        busy = len(self._states) < len(self._needs) or any(state.busy for state in self._states.values())
        if due and not busy and all(self._tasks[want].done() for _, want in due):
            _, want = min(due, key=lambda found: found[0])
            self._tasks[want] = self._group.create_task(self._verify(self._needs[want]))
        return bool(due)

    def _is_due(self, want: Want, state: FileState, now: datetime) -> bool:
        every = self._needs[want].verify_every
        if state.state != "Ready" or state.verified is None or not every:
            return False
        return (now - state.verified).total_seconds() >= _EARLY * every

    def _begin(self, need: Need) -> None:
        self._began[need.want] = time.monotonic()
        work = self._fetch(need) if need.fetch else self._look(need)
        self._tasks[need.want] = self._group.create_task(work)

    async def _look(self, need: Need) -> None:
        """Say whether a file is in place that may not be fetched."""
        want, before = need.want, self._states.get(need.want)
        try:
            stored = await self._fetcher.settle(want, replace=need.replace)
        except StoreError as error:
            self._take(want, failed(error, before))
        else:
            self._take(want, in_place(stored, before) if stored else suspended(before))

    async def _fetch(self, need: Need) -> None:
        want, stages = need.want, set[Stage]()
        try:
            stored = await self._fetcher.ensure(want, self._observer(want, stages), replace=need.replace)
        except StoreError as error:
            log.warning("%s: %s: %s", want.path, error.reason, error)
            self._take(want, failed(error, self._states.get(want)))
        else:
            log.info("%s is in place: sha256 %s, %d bytes", want.path, stored.sha256, stored.size)
            self._take(want, in_place(stored, self._states.get(want), self._how(want, stored, stages)))
            self._corrupted.discard(want)

    async def _verify(self, need: Need) -> None:
        want, before = need.want, self._states[need.want]
        try:
            # Another path of the same content may have been read already.
            stored = await self._fetcher.settle(want, replace=need.replace)
            if stored is None or stored.verified == before.verified:
                stored = await self._fetcher.verify(want, lambda _: None)
        except StoreError as error:
            log.warning("%s cannot be verified: %s", want.path, error)
            self._take(want, failed(error, before))
            return
        if stored:
            self._take(want, in_place(stored, before))
            return
        log.warning("%s was not as it had been verified; it is fetched anew", want.path)
        for other in [other for other, state in self._states.items() if state.sha256 == before.sha256]:
            self._corrupted.add(other)
            self._take(other, corrupted(FileState()))
            if other != want:
                self._begin(self._needs[other])
        await (self._fetch(need) if need.fetch else self._look(need))

    def _how(self, want: Want, stored: Stored, stages: Collection[Stage]) -> How:
        if want in self._corrupted:
            return "Repaired"
        if "Fetching" in stages:
            return "Repaired" if (want.path, stored.sha256) in self._known else ""
        contents = {sha256 for _, sha256 in self._known} | {state.sha256 for state in self._states.values()}
        return "Adopted" if "Verifying" in stages and stored.sha256 not in contents else ""

    def _observer(self, want: Want, stages: set[Stage]) -> Observe:
        """Passes steps from other threads to this loop: changes at once, bytes now and then."""
        loop = asyncio.get_running_loop()
        told: Step | None = None
        told_at = 0.0

        def observe(step: Step) -> None:
            nonlocal told, told_at
            stages.add(step.stage)
            now = time.monotonic()
            same = told is not None and (told.stage, told.trouble, told.progress.size) == (
                step.stage,
                step.trouble,
                step.progress.size,
            )
            if same and now - told_at < _TELL_SECONDS:
                return
            told, told_at = step, now
            loop.call_soon_threadsafe(self._take_step, want, step)

        return observe

    def _take_step(self, want: Want, step: Step) -> None:
        state = going_on(step)
        self._take(want, corrupted(state) if want in self._corrupted else state)

    def _take(self, want: Want, state: FileState) -> None:
        if want in self._tasks and self._states.get(want) != state:
            self._states[want] = state
            self._changed()


def _same_way(before: Need, now: Need | None) -> bool:
    return now is not None and (before.fetch, before.replace) == (now.fetch, now.replace)
