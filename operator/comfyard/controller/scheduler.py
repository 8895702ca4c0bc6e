"""Which job runs where, which pools grow, which servers go: pure functions over a snapshot."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.pools import Pool, Server

JobKey = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True)
class Demand:
    """A job that could run at once, if there were a server.

    Attributes:
        prefers: The name of the server of its pool that it is best run on.
    """

    job: JobKey
    pool: Pool
    priority: int
    created: str
    prefers: str = ""

    @property
    def order(self) -> tuple[int, str, JobKey]:
        """Higher priority first, then age."""
        return (-self.priority, self.created, self.job)


@dataclass
class Schedule:
    """What one pass decided.

    Attributes:
        assign: Server for each job that gets one now.
        waiting: Why each other job waits, for a person.
        grow: One entry for each server to be made.
        retire: Servers to be deleted: idle for longer than their profile's idleSeconds, not ready for longer than its
            startupSeconds, or ended.
        wake_after: Seconds until something here changes by time alone.
    """

    assign: dict[JobKey, Server] = field(default_factory=dict)
    waiting: dict[JobKey, str] = field(default_factory=dict)
    grow: list[Pool] = field(default_factory=list)
    retire: list[Server] = field(default_factory=list)
    wake_after: float | None = None


def schedule(
    demands: Sequence[Demand], servers: Sequence[Server], profiles: Mapping[str, HardwareProfile], now: datetime
) -> Schedule:
    """Assign jobs to idle servers of their pool; where there are none, let the pool grow within maxServers.

    Every demand that is not assigned claims one starting server, so that servers on the way are not ordered twice.
    """
    result = Schedule()
    free = _Free(servers)
    total = Counter(s.profile for s in servers if not s.leaving)
    for demand in sorted(demands, key=lambda d: d.order):
        pool = demand.pool
        server = free.take_idle(pool, demand.prefers)
        if server:
            result.assign[demand.job] = server
            continue
        starting = free.take_starting(pool)
        limit = profiles[pool.profile].spec.pool.max_servers
        if starting:
            result.waiting[demand.job] = _starting(pool, starting.trouble)
        elif total[pool.profile] < limit or (total[pool.profile] == limit and free.yield_idle(pool, result)):
            total[pool.profile] = min(total[pool.profile] + 1, limit)  # one that was yielded makes room for one
            result.grow.append(pool)
            result.waiting[demand.job] = _starting(pool, None)
        else:
            result.waiting[demand.job] = f"all {limit} servers of profile {pool.profile} are busy (pool.maxServers)"
    result.retire += [s for s in servers if s.over]
    idle = {s: s.idle_since for s in free.idle.values()}
    _retire_after(result, profiles, now, idle, lambda p: p.spec.pool.idle_seconds)
    unready = {s: s.unready_since for s in servers if not s.leaving and s.job is None}
    _retire_after(result, profiles, now, unready, lambda p: p.spec.server.startup_seconds)
    return result


def _starting(pool: Pool, trouble: str | None) -> str:
    """The same words before and after the pod is there: each change of them is a write."""
    return f"a server of profile {pool.profile} is starting" + (f": {trouble}" if trouble else "")


class _Free:
    """Servers that no job of this pass has taken yet."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.idle = {s.name: s for s in servers if s.is_idle}
        self._starting = {s.name: s for s in servers if not s.ready and not s.leaving and s.job is None}

    def take_idle(self, pool: Pool, prefers: str) -> Server | None:
        return self._take(self.idle, pool, prefers)

    def take_starting(self, pool: Pool) -> Server | None:
        return self._take(self._starting, pool)

    @staticmethod
    def _take(servers: dict[str, Server], pool: Pool, prefers: str = "") -> Server | None:
        fitting = [n for n, s in servers.items() if s.pool == pool.name and s.namespace == pool.namespace]
        return servers.pop(prefers if prefers in fitting else fitting[0]) if fitting else None

    def yield_idle(self, pool: Pool, result: Schedule) -> bool:
        """Let an idle server of another pool of the same profile go, so that one for this pool may come."""
        for name, server in self.idle.items():
            if server.profile == pool.profile:
                result.retire.append(self.idle.pop(name))
                return True
        return False


def _retire_after(
    result: Schedule,
    profiles: Mapping[str, HardwareProfile],
    now: datetime,
    since: Mapping[Server, datetime | None],
    seconds_of: Callable[[HardwareProfile], int],
) -> None:
    """Retire servers that have been so for longer than their profile says; wake for the next of them."""
    for server, began in since.items():
        profile = profiles.get(server.profile)
        if began is None or profile is None:
            continue
        left = (began + timedelta(seconds=seconds_of(profile)) - now).total_seconds()
        if left <= 0:
            result.retire.append(server)
        elif result.wake_after is None or left < result.wake_after:
            result.wake_after = left
