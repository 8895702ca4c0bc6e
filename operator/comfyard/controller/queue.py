"""The jobs that wait for a server, in an order that needs no look at all of them."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType

from comfyard.api.attempts import parse_time
from comfyard.controller.pools import Pool

JobKey = tuple[str, str]
"""Namespace and name."""

PoolKey = tuple[str, str]
"""Namespace and name of a pool, which its servers carry as a label."""

Order = tuple[int, str, JobKey]
"""What a job is sorted by: higher priority first, then age."""


@dataclass(frozen=True)
class Demand:
    """A job that could run at once, if there were a server.

    Attributes:
        created: Its creationTimestamp.
        models: SHA-256 of the model files that it loads.
        prefers: The name of the server of its pool that it is best run on.
    """

    job: JobKey
    pool: Pool
    priority: int
    created: str
    models: frozenset[str] = frozenset()
    prefers: str = ""

    @property
    def order(self) -> Order:
        """Higher priority first, then age."""
        return (-self.priority, self.created, self.job)

    @cached_property
    def created_at(self) -> datetime:
        """Its creationTimestamp as a time."""
        return parse_time(self.created)


@dataclass(frozen=True)
class Group:
    """Jobs that are alike to the scheduler: any server that suits one suits all of them equally well."""

    pool: Pool
    models: frozenset[str]

    @cached_property
    def pool_key(self) -> PoolKey:
        """Of its pool; kept, as a pool's name is a digest."""
        return (self.pool.namespace, self.pool.name)


class SortedDemands:
    """The demands of one group by their order, for reading.

    Attributes:
        group: What they have in common.
        priorities: How many there are of each priority.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.priorities: Counter[int] = Counter()
        self._orders: list[Order] = []
        self._demands: dict[JobKey, Demand] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def __getitem__(self, index: int) -> Demand:
        return self._demands[self._orders[index][2]]

    def __iter__(self) -> Iterator[Demand]:
        return (self._demands[job] for _, _, job in self._orders)

    def get(self, job: JobKey) -> Demand | None:
        """The demand of a job, if it is here."""
        return self._demands.get(job)

    def before(self, order: Order) -> int:
        """How many go before it."""
        return bisect_left(self._orders, order)

    def add(self, demand: Demand) -> None:
        """Add one that is not here. Only a shift of pointers grows with their number."""
        insort(self._orders, demand.order)
        self._demands[demand.job] = demand
        self.priorities[demand.priority] += 1

    def remove(self, job: JobKey) -> None:
        """Remove one that is here."""
        demand = self._demands.pop(job)
        del self._orders[bisect_left(self._orders, demand.order)]
        self.priorities[demand.priority] -= 1
        if not self.priorities[demand.priority]:
            del self.priorities[demand.priority]


class Queue:
    """The jobs that wait for a server, grouped by what a server needs to be for them."""

    def __init__(self) -> None:
        self._of_job: dict[JobKey, SortedDemands] = {}
        self._groups: dict[Group, SortedDemands] = {}
        self._lines: dict[tuple[str, str], dict[Group, SortedDemands]] = {}

    def __len__(self) -> int:
        return len(self._of_job)

    def put(self, demand: Demand) -> None:
        """Add a job; it replaces what it asked for before."""
        if self.get(demand.job) == demand:
            return
        self.discard(demand.job)
        group = Group(demand.pool, demand.models)
        demands = self._groups.get(group)
        if demands is None:
            demands = self._groups[group] = SortedDemands(group)
            self._lines.setdefault(_line(group.pool), {})[group] = demands
        demands.add(demand)
        self._of_job[demand.job] = demands

    def discard(self, job: JobKey) -> None:
        """Remove a job, if it is there."""
        demands = self._of_job.pop(job, None)
        if demands is None:
            return
        demands.remove(job)
        if not demands:
            group, line = demands.group, _line(demands.group.pool)
            del self._groups[group]
            del self._lines[line][group]
            if not self._lines[line]:
                del self._lines[line]

    def get(self, job: JobKey) -> Demand | None:
        """What a job asks for, if it waits."""
        demands = self._of_job.get(job)
        return demands.get(job) if demands is not None else None

    def groups(self) -> Mapping[Group, SortedDemands]:
        """All that wait; there is no empty group."""
        return MappingProxyType(self._groups)

    def waiting_for(self, namespace: str, profile: str) -> int:
        """How many of a namespace wait for a server of a profile: how long the line is that `place` counts in."""
        return sum(map(len, self._lines.get((namespace, profile), {}).values()))

    def waiting_by_profile(self) -> Counter[str]:
        """How many wait for a server of each profile."""
        counts: Counter[str] = Counter()
        for group, demands in self._groups.items():
            counts[group.pool.profile] += len(demands)
        return counts

    def place(self, job: JobKey) -> int:
        """Its place among the jobs of its namespace that wait for a server of its profile, from 1 on.

        Raises KeyError when it does not wait.
        """
        demands = self._of_job[job]
        demand = demands.get(job)
        if demand is None:
            raise KeyError(job)
        return 1 + sum(each.before(demand.order) for each in self._lines[_line(demand.pool)].values())


def _line(pool: Pool) -> tuple[str, str]:
    return (pool.namespace, pool.profile)
