"""Which job of a pool goes to which of its servers.

Priority and age decide, but a server prefers jobs whose models it has in memory, as others take long to load: such jobs
pass older ones of the same priority for at most PASS_SECONDS. An idle server takes what it can get before a busy one
gets a second job, so that no GPU waits; second jobs are those that need no other models, as the switch is best decided
when it is due.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush

from comfyard.controller.pools import Server
from comfyard.controller.queue import Demand, Order, SortedDemands

PASS_SECONDS = 120.0
"""How long a server stays with its models while older jobs wait for others. Some times what the largest models take to
load, so that loading takes a small part of the time; short enough for a person who waits for the other models."""

SWITCH_SECONDS = 15.0
"""About what it takes to load other models: a job is left to a server that has its models and can begin it earlier."""


@dataclass(eq=False)
class Taker:
    """A server in this pass.

    Attributes:
        room: Jobs that it may get besides.
        queued: Jobs that it has.
        models: What it has in memory when these are done.
        warm_since: When it began with jobs of these models.
    """

    server: Server
    room: int
    queued: int
    models: frozenset[str]
    warm_since: datetime | None

    @classmethod
    def of(cls, server: Server, depth: int, most: int) -> "Taker":
        """A server as it is before this pass.

        Args:
            server: It.
            depth: Jobs that it may have at once.
            most: Jobs that it may run in its life; 0: any number.
        """
        room = depth if not most else min(depth, most - server.done)
        queued = len(server.jobs)
        return cls(server, room - queued, queued, server.models, server.warm_since)

    def lacks(self, models: frozenset[str]) -> int:
        """Model files that it would have to load."""
        return len(models - self.models)

    def stays(self, now: datetime) -> bool:
        """Whether its jobs may pass older ones still."""
        return self.warm_since is not None and now - self.warm_since <= timedelta(seconds=PASS_SECONDS)

    @property
    def used_last(self) -> tuple[float, str]:
        """Sorts those first that had something to do last, so that the others can go."""
        since = self.server.idle_since
        return (-since.timestamp() if since else 0.0, self.server.name)

    def take(self, models: frozenset[str], now: datetime) -> None:
        """Get a job."""
        self.room -= 1
        self.queued += 1
        if models and (self.lacks(models) or self.warm_since is None):
            self.warm_since = now
        self.models = models or self.models


@dataclass(eq=False)
class Line:
    """Jobs with the same models in this pass."""

    demands: SortedDemands
    index: int = 0
    taken: int = 0

    @property
    def models(self) -> frozenset[str]:
        """That each of them loads."""
        return self.demands.group.models

    @property
    def head(self) -> Demand | None:
        """The next one."""
        return self.demands[self.taken] if self.taken < len(self.demands) else None


@dataclass(eq=False)
class Pairing:
    """Pairs jobs and servers of one pool.

    Attributes:
        seconds: That a job takes; None: nobody knows.
        left: How many jobs may get a server.
    """

    lines: Sequence[Line]
    takers: Sequence[Taker]
    seconds: float | None
    left: int
    now: datetime
    _warm: dict[frozenset[str], list[Line]] = field(default_factory=dict)
    _heads: list[tuple[Order, int]] = field(default_factory=list)

    def run(self) -> Iterator[tuple[Demand, Server]]:
        """Each job that gets a server now, one priority after the other: no job passes one of higher priority."""
        while heads := [line.head for line in self.lines if line.head]:
            priority = max(head.priority for head in heads)
            self._heads = [
                (line.head.order, index)
                for index, line in enumerate(self.lines)
                if line.head and line.head.priority == priority
            ]
            heapify(self._heads)
            for step in (self._preferred, self._stay, self._switch, self._second):
                for line, taker in step():
                    yield self._pair(line, taker), taker.server
                    if not self.left:
                        return
            if self._oldest():
                return

    def _pair(self, line: Line, taker: Taker) -> Demand:
        demand = line.demands[line.taken]
        line.taken += 1
        if line.head and line.head.priority == demand.priority:
            heappush(self._heads, (line.head.order, line.index))
        taker.take(line.models, self.now)
        self.left -= 1
        return demand

    def _oldest(self) -> Line | None:
        """Where the first job of this priority waits."""
        while self._heads:
            order, index = self._heads[0]
            head = self.lines[index].head
            if head and head.order == order:
                return self.lines[index]
            heappop(self._heads)
        return None

    def _idle(self) -> list[Taker]:
        return sorted((t for t in self.takers if not t.queued and t.room > 0), key=lambda t: t.used_last)

    def _preferred(self) -> Iterator[tuple[Line, Taker]]:
        """Jobs to the server that they are best run on, as after a failure there."""
        named = {taker.server.name: taker for taker in self.takers}
        for _, index in sorted(self._heads):
            line = self.lines[index]
            taker = named.get(line.head.prefers) if line.head else None
            if taker and taker.room > 0:
                yield line, taker

    def _stay(self) -> Iterator[tuple[Line, Taker]]:
        """Idle servers to jobs that need no other models, those used last first."""
        for taker in self._idle():
            line = self._next_for(taker)
            if line:
                yield line, taker

    def _switch(self) -> Iterator[tuple[Line, Taker]]:
        """The oldest jobs to the idle servers that have to load least; or to one that has the models, and is free soon.

        A server that could stay with its models, but for its time being over, goes last.
        """
        idle = self._idle()
        while idle and (line := self._oldest()):
            best = min(idle, key=lambda t: (t.lacks(line.models), bool(self._warm_line(t)), t.used_last))
            soon = self._soon(line) if best.lacks(line.models) else None
            if soon is None:
                idle.remove(best)
            yield line, soon or best

    def _soon(self, line: Line) -> Taker | None:
        if self.seconds is None:
            return None
        return next((t for t in self.takers if self._is_soon(t, line)), None)

    def _is_soon(self, taker: Taker, line: Line) -> bool:
        """Whether it has the models, loaded by now, and is through with what it has before another had loaded them."""
        if not taker.queued or taker.room <= 0 or taker.lacks(line.models) or taker.warm_since is None:
            return False
        loaded = self.now - taker.warm_since >= timedelta(seconds=SWITCH_SECONDS)
        return loaded and taker.queued * (self.seconds or 0) <= SWITCH_SECONDS

    def _second(self) -> Iterator[tuple[Line, Taker]]:
        """Busy servers to jobs that need no other models, those with the fewest jobs first."""
        busy = [(taker.queued, taker.used_last, taker) for taker in self.takers if taker.room > 0 and taker.queued]
        heapify(busy)
        while busy:
            _, _, taker = heappop(busy)
            line = self._next_for(taker)
            if line:
                yield line, taker
                if taker.room > 0:
                    heappush(busy, (taker.queued, taker.used_last, taker))

    def _next_for(self, taker: Taker) -> Line | None:
        """The jobs that it may run without other models: the oldest, or while it may stay."""
        line = self._warm_line(taker)
        return line if line and (taker.stays(self.now) or line is self._oldest()) else None

    def _warm_line(self, taker: Taker) -> Line | None:
        oldest = self._oldest()
        if oldest is None or oldest.head is None:
            return None
        if taker.models not in self._warm:
            self._warm[taker.models] = [line for line in self.lines if not taker.lacks(line.models)]
        priority = oldest.head.priority
        warm = [
            (line.head.order, line) for line in self._warm[taker.models] if line.head and line.head.priority == priority
        ]
        return min(warm)[1] if warm else None
