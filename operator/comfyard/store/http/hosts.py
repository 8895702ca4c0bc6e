"""How many connections a host gets from us, over all files: fewer when it complains, more again as it delivers."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from comfyard.store.stop import Stop

GROW_BYTES = 256 * 1024 * 1024
"""Bytes that a host delivers before it is tried with one connection more."""


@dataclass
class Limit:
    """The limit of one host.

    Attributes:
        most: Connections that are never exceeded.
        now: Connections that it may have.
        era: Counts the cuts; a complaint about a connection of an earlier era was heard already.
    """

    most: int
    now: int = 0
    era: int = 0
    _delivered: int = 0

    def __post_init__(self) -> None:
        self.now = self.most

    def refused(self, era: int) -> None:
        """The host complained (429, 503) about a connection that was made in that era."""
        if era == self.era:
            self.now = max(1, self.now // 2)
            self.era += 1
            self._delivered = 0

    def delivered(self, count: int) -> None:
        """The host gave so many bytes."""
        if self.now < self.most:
            self._delivered += count
            if self._delivered >= GROW_BYTES:
                self._delivered = 0
                self.now += 1


@dataclass
class _Host:
    limit: Limit
    busy: int = 0
    waiting: deque["Slot"] = field(default_factory=deque)


class Slot:
    """The right to one connection.

    Attributes:
        received: Bytes that came over it; counted up by who reads them.
        refused: Whether the host complained; set by who reads the answer.
    """

    def __init__(self) -> None:
        self.received = 0
        self.refused = False


class Hosts:
    """The limits of all hosts, shared by all downloads of the process.

    Args:
        most: Connections to one host.
    """

    def __init__(self, most: int = 8) -> None:
        self.most = most
        self._changed = threading.Condition()
        self._hosts: dict[str, _Host] = {}

    @contextmanager
    def connection(self, host: str, stop: Stop) -> Iterator[Slot]:
        """Wait for a free connection; who waits longest comes first.

        Raises:
            StoppedError: It was asked to stop.
        """
        slot = Slot()
        era = self._take(host, slot, stop)
        try:
            yield slot
        finally:
            with self._changed:
                state = self._hosts[host]
                state.busy -= 1
                if slot.refused:
                    state.limit.refused(era)
                state.limit.delivered(slot.received)
                self._changed.notify_all()

    def allowed(self, host: str) -> int:
        """Connections that a host may have now."""
        with self._changed:
            return self._hosts[host].limit.now if host in self._hosts else self.most

    def waiting(self, host: str) -> int:
        """How many wait for a connection to a host."""
        with self._changed:
            return len(self._hosts[host].waiting) if host in self._hosts else 0

    def _take(self, host: str, slot: Slot, stop: Stop) -> int:
        with stop.waking(self._wake), self._changed:
            state = self._hosts.setdefault(host, _Host(Limit(self.most)))
            state.waiting.append(slot)
            try:
                while state.waiting[0] is not slot or state.busy >= state.limit.now:
                    self._changed.wait()
                    stop.check()
            finally:
                state.waiting.remove(slot)
                self._changed.notify_all()
            state.busy += 1
            return state.limit.era

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
