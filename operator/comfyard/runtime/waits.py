"""Which waiting jobs are to be told something, and how many of them at a time.

Nobody waits for the words, and thousands may have to change at once. A job that gets its server first is never told.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import merge
from itertools import chain, islice, zip_longest

from comfyard.controller.queue import Demand, PoolKey, Queue
from comfyard.runtime.job_index import Key

_PER_SECOND = 20.0
"""A write costs operator and API server some milliseconds each: this is a tenth of a small machine. Ten thousand jobs
that come at once are told within ten minutes, those that run next first."""

_PER_SECOND_BUSY = 5.0
_BUSY = 1.0
"""While more jobs than that get a server each second, words are soon old, and assignments need the machine."""

_SOON_SECONDS = 5.0
"""Who will have a server within so long is not told that it has none: the two writes might collide, too. That can be
foreseen only while jobs flow. Their flow is the mean of about as long."""

_BURST = 50
"""Told at once after a quiet time."""

_PATIENCE_SECONDS = 1.0
"""A job that gets a server within so long is not told that it waits for one. Who looks at it has no more patience."""

_NEAREST = 100
"""Places that are looked at each time, see `waiting_words`."""

_LOOKED_AT = 500
"""Of each list, at a time: most need no words, and the event loop must not wait for long."""


class Waits:
    """What is known of jobs that wait, as far as telling them goes. `clock` is `time.monotonic`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pending: dict[Key, None] = {}
        self._queued: dict[Key, float] = {}
        self._changed: dict[Key, None] = {}
        self._reasons: dict[PoolKey, str] = {}
        self._flow = 0.0
        self._flowed_at = clock()
        self._tokens = float(_BURST)
        self._counted_at = clock()

    def __len__(self) -> int:
        return len(self._pending) + len(self._queued) + len(self._changed)

    def pending(self, key: Key) -> None:
        """A job waits for something else than a server."""
        self._pending[key] = None

    def queued(self, key: Key) -> None:
        """A job waits for a server from now on."""
        self._queued.setdefault(key, self._clock() + _PATIENCE_SECONDS)

    def forget(self, key: Key) -> None:
        """A job does not wait any more, or has been told."""
        for keys in (self._pending, self._queued, self._changed):
            keys.pop(key, None)

    def see(self, queue: Queue, reasons: Mapping[PoolKey, str]) -> None:
        """Take in why pools have no server for their jobs. Where the reason is another now, all are to be told."""
        for group, demands in queue.groups().items():
            reason = reasons.get(group.pool_key)
            if reason is not None and reason != self._reasons.get(group.pool_key):
                self._changed |= dict.fromkeys(demand.job for demand in demands)
        self._reasons = dict(reasons)

    def assigned(self, jobs: int) -> None:
        """So many jobs have got a server."""
        self._flow = self.flow() + jobs / _SOON_SECONDS
        self._flowed_at = self._clock()

    def flow(self) -> float:
        """How many jobs a second have got a server lately."""
        return self._flow * math.exp((self._flowed_at - self._clock()) / _SOON_SECONDS)

    def allowance(self) -> int:
        """How many jobs may be told now."""
        moment = self._clock()
        rate = _PER_SECOND_BUSY if self.flow() > _BUSY else _PER_SECOND
        self._tokens = min(_BURST, self._tokens + (moment - self._counted_at) * rate)
        self._counted_at = moment
        return int(self._tokens)

    def spend(self, told: int) -> None:
        """So many were told."""
        self._tokens -= told

    def due(self, queue: Queue) -> Iterator[Key]:
        """Jobs that may have to be told something, the most important first.

        Each is forgotten when the next is asked for.
        """
        moment = self._clock()
        flow = self.flow()
        soon = round(flow * _SOON_SECONDS) if flow > _BUSY else 0
        changed = list(islice(self._changed, _LOOKED_AT))
        queued = [key for key, due in islice(self._queued.items(), _LOOKED_AT) if due <= moment]
        rest = (key for pair in zip_longest(changed, queued) for key in pair if key)
        for key in chain(list(islice(self._pending, _LOOKED_AT)), nearest(queue, soon), rest):
            if self._queued.get(key, moment) > moment:
                self._changed.pop(key, None)  # it will be told with what it is told first
            elif soon and queue.get(key) and queue.place(key) <= soon:
                self.forget(key)
                self._queued[key] = moment + _SOON_SECONDS
            else:
                yield key
                self.forget(key)


def nearest(queue: Queue, soon: int) -> list[Key]:
    """The jobs that come next in each line, that of a namespace for a profile, but for so many that are served soon."""
    lines: dict[tuple[str, str], list[Iterable[Demand]]] = defaultdict(list)
    for group, demands in queue.groups().items():
        lines[group.pool.namespace, group.pool.profile].append(demands)
    return [
        demand.job
        for line in lines.values()
        for demand in islice(merge(*line, key=lambda d: d.order), soon, max(soon, _NEAREST))
    ]
