"""Queue, running items and history: one mutex, in memory only.

At every instant an id is in exactly one of pending, running and history, or in none of them; the moves are atomic.
"""

from __future__ import annotations

import copy
import heapq
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MAXIMUM_HISTORY_SIZE = 10_000
SENSITIVE_EXTRA_DATA_KEYS = ("auth_token_comfy_org", "api_key_comfy_org")

Item = tuple[float, str, dict[str, Any], dict[str, Any], list[str]]


class ExecutionStatus(NamedTuple):
    """The `status` of a history entry."""

    status_str: str
    completed: bool
    messages: list[tuple[str, dict[str, Any]]]


class PromptQueue:
    """The queue between the server and the worker thread.

    Args:
        queue_updated: Called, with the mutex held, at every change of the queue's length.
    """

    def __init__(self, queue_updated: Callable[[], None]) -> None:
        self.queue_updated = queue_updated
        self.mutex = threading.RLock()
        self.not_empty = threading.Condition(self.mutex)
        self.task_counter = 0
        self.queue: list[Item] = []
        self.currently_running: dict[int, Item] = {}
        self.history: dict[str, dict[str, Any]] = {}
        self.flags: dict[str, bool] = {}

    def put(self, item: Item) -> None:
        """Queues an item.

        Two items of equal number and id make the heap compare the graphs and raise, although the item *is* queued:
        ComfyUI 0.3.64 answers 500 to that and runs it all the same.

        Args:
            item: Number, id, graph, extra data, outputs to run.
        """
        with self.mutex:
            heapq.heappush(self.queue, item)
            self.queue_updated()
            self.not_empty.notify()

    def get(self, timeout: float | None = None) -> tuple[Item, int] | None:
        """Takes the next item and marks it running.

        Args:
            timeout: Seconds to wait.

        Returns:
            The item and the key for `task_done`, or None when there was none or a flag was set.
        """
        with self.not_empty:
            while not self.queue:
                self.not_empty.wait(timeout=timeout)
                if not self.queue and (timeout is not None or self.flags):
                    return None
            item = heapq.heappop(self.queue)
            key = self.task_counter
            self.currently_running[key] = copy.deepcopy(item)
            self.task_counter += 1
            self.queue_updated()
            return item, key

    def task_done(self, key: int, result: dict[str, Any], status: ExecutionStatus, *, lose: bool = False) -> None:
        """Moves a running item to the history.

        Args:
            key: What `get` gave.
            result: `outputs` and `meta`.
            status: How it ended.
            lose: A test switch: drop the entry instead.
        """
        with self.mutex:
            prompt = self.currently_running.pop(key)
            if not lose:
                if len(self.history) > MAXIMUM_HISTORY_SIZE:
                    del self.history[next(iter(self.history))]
                for name in SENSITIVE_EXTRA_DATA_KEYS:
                    prompt[3].pop(name, None)
                self.history[prompt[1]] = {
                    "prompt": prompt,
                    "outputs": {},
                    "status": copy.deepcopy(status._asdict()),
                    **result,
                }
            self.queue_updated()

    def get_current_queue(self) -> tuple[list[Item], list[Item]]:
        """Copies the queue.

        Returns:
            Running and pending items, the latter in heap order, which is not the order they will run in.
        """
        with self.mutex:
            return list(self.currently_running.values()), list(self.queue)

    def get_tasks_remaining(self) -> int:
        """Counts pending and running items.

        Returns:
            The count.
        """
        with self.mutex:
            return len(self.queue) + len(self.currently_running)

    def wipe_queue(self) -> None:
        """Drops all pending items."""
        with self.mutex:
            self.queue = []
            self.queue_updated()

    def delete_queue_item(self, matches: Callable[[Item], bool]) -> bool:
        """Drops one pending item.

        Args:
            matches: Picks it.

        Returns:
            Whether there was one.
        """
        with self.mutex:
            for index, item in enumerate(self.queue):
                if matches(item):
                    if len(self.queue) == 1:
                        self.wipe_queue()
                    else:
                        self.queue.pop(index)
                        heapq.heapify(self.queue)
                        self.queue_updated()
                    return True
        return False

    def get_history(
        self, prompt_id: str | None = None, max_items: int | None = None, offset: int = -1
    ) -> dict[str, Any]:
        """Reads the history, oldest first.

        Args:
            prompt_id: Only this entry.
            max_items: At most that many: the newest, or with an offset those after it.
            offset: How many of the oldest to skip; -1 for none given.

        Returns:
            Entries by id; empty for an unknown id.
        """
        with self.mutex:
            if prompt_id is not None:
                entry = self.history.get(prompt_id)
                return {} if entry is None else {prompt_id: copy.deepcopy(entry)}
            if offset < 0 and max_items is not None:
                offset = len(self.history) - max_items
            chosen: dict[str, Any] = {}
            for index, (key, entry) in enumerate(self.history.items()):
                if index >= offset:
                    if max_items is not None and len(chosen) >= max_items:
                        break
                    chosen[key] = entry
            return chosen

    def wipe_history(self) -> None:
        """Forgets all entries; a running item's appears when it ends."""
        with self.mutex:
            self.history = {}

    def delete_history_item(self, prompt_id: str) -> None:
        """Forgets one entry.

        Args:
            prompt_id: Its id; unknown ones are ignored.
        """
        with self.mutex:
            self.history.pop(prompt_id, None)

    def set_flag(self, name: str, *, value: bool) -> None:
        """Asks the worker for something between prompts.

        Args:
            name: unload_models or free_memory.
            value: Whether to do it.
        """
        with self.mutex:
            self.flags[name] = value
            self.not_empty.notify()

    def get_flags(self) -> dict[str, bool]:
        """Takes the flags.

        Returns:
            What was set since the last call.
        """
        with self.mutex:
            flags, self.flags = self.flags, {}
            return flags
