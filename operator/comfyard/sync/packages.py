"""A task for each package of custom nodes that is wanted, and what it has come to."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection

from comfyard.store.errors import StoreError
from comfyard.store.nodes import NodeStore
from comfyard.store.retry import Backoff
from comfyard.store.threads import in_thread
from comfyard.sync.states import NodeState, node_failed, node_suspended
from comfyard.sync.wanted import NodeNeed, Wanted

log = logging.getLogger(__name__)


class Packages:
    """Works on the custom nodes that are wanted, one package after the other.

    Args:
        store: Brings one package into place.
        group: Where the tasks live; what nobody expects ends them all.
        changed: Called when a state has changed.
    """

    def __init__(self, store: NodeStore, group: asyncio.TaskGroup, changed: Callable[[], None]) -> None:
        self._store = store
        self._group = group
        self._changed = changed
        self._backoff = Backoff()
        self._turn = asyncio.Lock()
        self._tasks: dict[NodeNeed, asyncio.Task[None]] = {}
        self._began: dict[NodeNeed, float] = {}
        self._states: dict[str, NodeState] = {}

    def state_of(self, commit: str) -> NodeState | None:
        """What a package has come to; None before the first look at it."""
        return self._states.get(commit)

    async def let_go(self, wanted: Wanted) -> None:
        """Stop the work on what is not wanted any more, or not in this way; it has ended when this returns."""
        needs = set(wanted.nodes.values())
        gone = [task for need, task in self._tasks.items() if need not in needs]
        for task in gone:
            task.cancel()
        if gone:
            await asyncio.wait(gone)
        self._tasks = {need: task for need, task in self._tasks.items() if need in needs}
        self._began = {need: began for need, began in self._began.items() if need in self._tasks}
        commits = {need.commit for need in self._tasks}
        self._states = {commit: state for commit, state in self._states.items() if commit in commits}

    def take_on(self, wanted: Wanted) -> None:
        """Work on everything that is wanted and not in work."""
        for need in wanted.nodes.values():
            if need not in self._tasks:
                self._begin(need)

    def failed(self, reasons: Collection[str]) -> frozenset[str]:
        """Commits of those that have failed for such a reason."""
        return frozenset(c for c, state in self._states.items() if state.state == "Failed" and state.reason in reasons)

    def retry(self, reasons: Collection[str], before: float) -> None:
        """See Worker."""
        failed = self.failed(reasons)
        for need in [need for need, task in self._tasks.items() if task.done() and need.commit in failed]:
            if self._began[need] < before:
                del self._states[need.commit]
                self._begin(need)

    def _begin(self, need: NodeNeed) -> None:
        self._began[need] = time.monotonic()
        self._tasks[need] = self._group.create_task(self._work(need))

    async def _work(self, need: NodeNeed) -> None:
        failures = 0
        while True:
            try:
                async with self._turn:
                    return await self._attempt(need)
            except StoreError as error:
                if error.permanent:
                    log.warning("custom node %s: %s: %s", need.name, error.reason, error)
                    return self._take(need, node_failed(error))
                failures += 1
                jitter = random.random()  # noqa: S311 - spreads retries, protects nothing
                delay = self._backoff.delay(failures, error.retry_after, jitter)
                self._take(need, node_failed(error, delay))
            await asyncio.sleep(delay)

    async def _attempt(self, need: NodeNeed) -> None:
        tree = await in_thread(lambda stop: self._store.verify(need.commit, stop))
        if tree is None and not need.fetch:
            return self._take(need, node_suspended())
        if tree is None:
            self._take(need, NodeState("Fetching"))
            tree = await in_thread(lambda stop: self._store.ensure(need.name, need.url, need.commit, stop))
            log.info("custom node %s is in place: commit %s, tree %s", need.name, need.commit, tree)
        return self._take(need, NodeState("Ready", tree=tree))

    def _take(self, need: NodeNeed, state: NodeState) -> None:
        if need in self._tasks and self._states.get(need.commit) != state:
            self._states[need.commit] = state
            self._changed()
