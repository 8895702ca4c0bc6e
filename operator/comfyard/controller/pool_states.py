"""One pool in one pass of the scheduler: its jobs, its servers, and what is decided about them so far."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.pools import Pool, Server, shape_of
from comfyard.controller.queue import Demand, PoolKey, SortedDemands
from comfyard.controller.snapshot import Snapshot


@dataclass(eq=False)
class PoolState:
    """One pool.

    Attributes:
        profile: Of its servers.
        shape: What a server of the profile is now.
        pool: None when only its servers are known: it cannot grow.
        groups: Its waiting jobs.
        servers: Those that are there to stay, ready or not, as far as this pass has decided.
        stopped: Names of those that get no further job.
        granted: How many servers it may have, see grants.py.
    """

    key: PoolKey
    profile: HardwareProfile
    shape: str
    pool: Pool | None = None
    groups: list[SortedDemands] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    granted: int = 0

    @property
    def profile_name(self) -> str:
        """Of its profile."""
        return self.profile.metadata.name

    @property
    def namespace(self) -> str:
        """Of its jobs and servers."""
        return self.key[0]

    @property
    def waiting(self) -> int:
        """Jobs without a server."""
        return sum(map(len, self.groups))

    @property
    def running(self) -> int:
        """Jobs that have a server which may get another one afterwards."""
        return sum(len(server.jobs) for server in self.servers if not self.is_spent(server))

    @property
    def first(self) -> Demand | None:
        """The job that is the next by priority and age."""
        return min((group[0] for group in self.groups), key=lambda d: d.order, default=None)

    def priorities(self) -> Counter[int]:
        """How many wait with each priority."""
        counts: Counter[int] = Counter()
        for group in self.groups:
            counts.update(group.priorities)
        return counts

    def is_outdated(self, server: Server) -> bool:
        """Whether it was made from a former profile."""
        return server.shape != self.shape

    def is_spent(self, server: Server) -> bool:
        """Whether it has been given all the jobs that a server may have."""
        limit = self.profile.spec.pool.jobs_per_server
        return 0 < limit <= server.done + len(server.jobs)

    def is_fresh(self, server: Server) -> bool:
        """Whether it needs no replacement."""
        return not self.is_outdated(server) and not self.is_spent(server)

    @property
    def fresh(self) -> list[Server]:
        """Servers that need no replacement, starting ones too."""
        return [server for server in self.servers if self.is_fresh(server)]

    def takers(self) -> list[Server]:
        """Servers that may get a job.

        Outdated ones stand in until their replacements are ready, so that a change of the profile makes no pause.
        """
        ready = [s for s in self.servers if s.ready and s.name not in self.stopped and not self.is_spent(s)]
        fresh = [s for s in ready if not self.is_outdated(s)]
        outdated = sorted((s for s in ready if self.is_outdated(s)), key=lambda s: (-len(s.jobs), s.name))
        return [*fresh, *outdated[: max(0, self.granted - len(fresh))]]

    def is_stuck(self, now: datetime) -> bool:
        """Whether none of its servers is ready, and one of them cannot start."""
        return not any(s.ready for s in self.servers) and any(s.fails_at and s.fails_at <= now for s in self.servers)


def is_starting(server: Server) -> bool:
    """Whether it is on its way to be ready for the first job."""
    return not server.ready and not server.jobs


def observe_pools(snapshot: Snapshot) -> dict[PoolKey, PoolState]:
    """All pools that have a job, a server, or are to be warm, of profiles that exist."""
    known = _Pools(snapshot)
    for group, demands in snapshot.queue.groups().items():
        state = known.state(group.pool_key, group.pool.profile)
        if state:
            state.pool = group.pool
            state.groups.append(demands)
    for name, pool in snapshot.warm.items():
        state = known.state((pool.namespace, pool.name), name)
        if state:
            state.pool = pool
    for server in snapshot.servers:
        state = known.state((server.namespace, server.pool), server.profile)
        if state and not server.leaving:
            state.servers.append(server)
    return known.states


class _Pools:
    """Pools as they are met."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.states: dict[PoolKey, PoolState] = {}
        self._profiles = snapshot.profiles

    def state(self, key: PoolKey, profile_name: str) -> PoolState | None:
        """The pool; None when its profile does not exist."""
        found = self.states.get(key)
        profile = self._profiles.get(profile_name)
        if found or profile is None:
            return found
        state = self.states[key] = PoolState(key, profile, shape_of(profile))
        return state


def by_profile(states: Iterable[PoolState]) -> dict[str, list[PoolState]]:
    """The pools of each profile."""
    found: dict[str, list[PoolState]] = {}
    for state in states:
        found.setdefault(state.profile_name, []).append(state)
    return found
