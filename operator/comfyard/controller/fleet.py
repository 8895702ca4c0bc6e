"""All servers in one pass of the scheduler: how many there are, and how many there may be."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from comfyard.controller.pool_states import PoolState, observe_pools
from comfyard.controller.pools import Server
from comfyard.controller.queue import JobKey, PoolKey
from comfyard.controller.snapshot import Limits, Reason, Retirement, Schedule, Snapshot

_NO_LIMITS = Limits()


@dataclass(eq=False)
class Fleet:
    """One pass, as far as it has come.

    Attributes:
        pools: What is known of each.
        result: What is decided so far.
        ordered: Servers of each pool that this pass makes.
    """

    snapshot: Snapshot
    now: datetime
    pools: Mapping[PoolKey, PoolState]
    result: Schedule = field(default_factory=Schedule)
    ordered: Counter[PoolKey] = field(default_factory=Counter)
    _of_profile: Counter[str] = field(default_factory=Counter)
    _of_namespace: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for state in self.pools.values():
            self._of_profile[state.profile_name] += len(state.servers)
            self._of_namespace[state.namespace] += len(state.servers)
        for key, until in self.snapshot.not_before.items():
            if key in self.pools and until > self.now:
                self.result.wake_in((until - self.now).total_seconds())

    @classmethod
    def observe(cls, snapshot: Snapshot, now: datetime) -> "Fleet":
        """Everything, with nothing decided."""
        return cls(snapshot, now, observe_pools(snapshot))

    def limits(self, namespace: str) -> Limits:
        """Of a namespace."""
        return self.snapshot.limits.get(namespace, _NO_LIMITS)

    def total(self, profile: str) -> int:
        """Servers of a profile, those that this pass makes too."""
        return self._of_profile[profile]

    def profile_left(self, state: PoolState) -> int:
        """How many more the profile may have; fewer than none when its maxServers was lowered."""
        return state.profile.spec.pool.max_servers - self._of_profile[state.profile_name]

    def namespace_left(self, namespace: str) -> int | None:
        """How many more the namespace may have; None: no limit."""
        most = self.limits(namespace).servers
        return None if most is None else most - self._of_namespace[namespace]

    def is_full(self, state: PoolState) -> bool:
        """Whether the pool can have another server only in the place of one."""
        left = self.namespace_left(state.namespace)
        return self.profile_left(state) <= 0 or (left is not None and left <= 0)

    def may_start(self, state: PoolState) -> bool:
        """Whether a server can be made for the pool now."""
        return state.pool is not None and self.snapshot.not_before.get(state.key, self.now) <= self.now

    def grow(self, state: PoolState) -> None:
        """Make a server for a pool that may start one."""
        if state.pool is None:
            raise ValueError(f"pool {state.key} is known by its servers only")
        self.result.grow.append(state.pool)
        self.ordered[state.key] += 1
        self._count(state, 1)

    def retire(self, state: PoolState, server: Server, reason: Reason) -> None:
        """Let a server go that has no job."""
        self.result.retire.append(Retirement(server, reason))
        state.servers.remove(server)
        self._count(state, -1)

    def assign(self, job: JobKey, server: Server) -> None:
        """Give a job to a server."""
        self.result.assign[job] = server

    def _count(self, state: PoolState, change: int) -> None:
        self._of_profile[state.profile_name] += change
        self._of_namespace[state.namespace] += change

    def seconds_left(self, since: datetime, seconds: float) -> float:
        """Of a time that began then; when it is not over, the next pass comes no later than its end."""
        left = seconds - (self.now - since).total_seconds()
        if left > 0:
            self.result.wake_in(left)
        return left
