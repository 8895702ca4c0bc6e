"""Servers are made where they are lacking, and taken from where there are too many.

A server that works is never taken: it gets no further job, and goes when it is idle.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from comfyard.controller.fleet import Fleet
from comfyard.controller.pool_states import PoolState, by_profile, is_starting
from comfyard.controller.pools import Server
from comfyard.controller.queue import PoolKey
from comfyard.controller.snapshot import Reason

MOMENT_SECONDS = 5.0
"""Nobody gives up a server for a job that has not waited for so long, nor one that may get its next job any moment:
who orders one job after the other is back within it."""


def hand_over(fleet: Fleet, order: Sequence[PoolState]) -> None:
    """Change the number of servers of each pool to what is granted, as far as that can be done now.

    Args:
        fleet: All servers.
        order: A pool for each server that is granted, those with more right to it first.
    """
    for state in fleet.pools.values():
        _retire_replaced(fleet, state)
    givers = _Givers(fleet)
    _shrink(fleet, givers)
    renewed: set[PoolKey] = set()
    for state in _grow(fleet, order):
        if len(state.servers) + fleet.ordered[state.key] >= state.granted:
            _renew(fleet, state, renewed)
        else:
            _take_over(fleet, state, givers)
    _keep_minimum(fleet, order)


def _retire_replaced(fleet: Fleet, state: PoolState) -> None:
    """Servers that have no job and get none any more go; one that is there for minServers stays until a job comes."""
    takers = {server.name for server in state.takers()}
    for server in [s for s in state.servers if not s.jobs and not state.is_fresh(s) and s.name not in takers]:
        if state.is_spent(server):
            fleet.retire(state, server, Reason.RECYCLED)
        elif state.pool or fleet.total(state.profile_name) > state.profile.spec.pool.min_servers:
            fleet.retire(state, server, Reason.OUTDATED)


def _shrink(fleet: Fleet, givers: "_Givers") -> None:
    """Fewer servers where there are more than there may be, as maxServers or a namespace's limit was lowered."""
    for name, states in by_profile(fleet.pools.values()).items():
        for _ in range(-fleet.profile_left(states[0])):
            givers.give(profile=name)
    for namespace in fleet.snapshot.limits:
        for _ in range(-(fleet.namespace_left(namespace) or 0)):
            givers.give(namespace=namespace)


def _grow(fleet: Fleet, order: Sequence[PoolState]) -> Iterator[PoolState]:
    """Make the servers that are lacking while there is room; those that found none come back, one by one."""
    fresh = {state.key: len(state.fresh) for state in fleet.pools.values()}
    lacking = []
    for state in order:
        fresh[state.key] -= 1
        if fresh[state.key] >= 0 or not fleet.may_start(state):
            continue
        if fleet.is_full(state):
            lacking.append(state)
        else:
            fleet.grow(state)
    yield from lacking


def _renew(fleet: Fleet, state: PoolState, renewed: set[PoolKey]) -> None:
    """An outdated server makes room for its replacement, one at a time: the others of its pool go on meanwhile."""
    if state.key in renewed or fleet.ordered[state.key] or any(is_starting(s) for s in state.fresh):
        return
    outdated = [s for s in state.servers if state.is_outdated(s) and not state.is_spent(s)]
    if not outdated:
        return
    renewed.add(state.key)
    server = min(outdated, key=lambda s: (len(s.jobs), s.name))
    if server.jobs:
        state.stopped.add(server.name)
    else:
        fleet.retire(state, server, Reason.OUTDATED)
    if not fleet.is_full(state):
        fleet.grow(state)


def _take_over(fleet: Fleet, state: PoolState, givers: "_Givers") -> None:
    """A pool that has more than its due gives up a server for jobs that do wait.

    For a pool whose servers failed to start it is one at a time: should that fail, too, little is lost.
    """
    if state.key in fleet.snapshot.broken and (state.servers or fleet.ordered[state.key]):
        return
    first = state.first
    if first and fleet.seconds_left(first.created_at, MOMENT_SECONDS) > 0:
        return
    left = fleet.namespace_left(state.namespace)
    profile = state.profile_name if fleet.profile_left(state) <= 0 else None
    namespace = state.namespace if left is not None and left <= 0 else None
    if not givers.give(profile, namespace) and profile and namespace:
        givers.give(namespace=namespace)  # then the limit of the profile is what is left to overcome
    if not fleet.is_full(state):
        fleet.grow(state)


def _keep_minimum(fleet: Fleet, order: Sequence[PoolState]) -> None:
    """The minServers of a profile come with the first job of any of its pools."""
    for state in order:
        while (
            fleet.total(state.profile_name) < state.profile.spec.pool.min_servers
            and not fleet.is_full(state)
            and fleet.may_start(state)
        ):
            fleet.grow(state)


class _Givers:
    """Pools that have more servers than they are granted, and which server each gives up first."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._stopped: Counter[PoolKey] = Counter()
        self._rows: dict[tuple[str | None, str | None], Iterator[tuple[PoolState, Server]]] = {}

    def give(self, profile: str | None = None, namespace: str | None = None) -> bool:
        """Take a server of that profile and of that namespace; a busy one gets no further job. False: there is none."""
        scope = (profile, namespace)
        if scope not in self._rows:
            self._rows[scope] = self._walk(*scope)
        found = next(self._rows[scope], None)
        if found is None:
            return False
        state, server = found
        if server.jobs:
            state.stopped.add(server.name)
            self._stopped[state.key] += 1
        else:
            self._fleet.retire(state, server, Reason.YIELDED)
        return True

    def _walk(self, profile: str | None, namespace: str | None) -> Iterator[tuple[PoolState, Server]]:
        rows = [
            (state, server)
            for state in self._fleet.pools.values()
            if profile in {None, state.profile_name}
            and namespace in {None, state.namespace}
            and self._surplus(state) > 0
            for server in state.servers
        ]
        for state, server in sorted(rows, key=lambda row: (*_ease(*row), -self._surplus(row[0]), row[1].name)):
            there = server in state.servers and server.name not in state.stopped
            if there and self._surplus(state) > 0 and not self._is_expected(state, server):
                yield state, server

    def _surplus(self, state: PoolState) -> int:
        have = len(state.servers) + self._fleet.ordered[state.key] - self._stopped[state.key]
        return have - state.granted

    def _is_expected(self, state: PoolState, server: Server) -> bool:
        """Whether the next job for an idle server may come any moment."""
        if state.waiting or not server.idle_since:
            return False
        return self._fleet.seconds_left(server.idle_since, MOMENT_SECONDS) > 0


def _ease(state: PoolState, server: Server) -> tuple[int, bool, int]:
    """What is lost with a server: nothing by one that starts or is idle; the fewest jobs by a busy one."""
    stage = 0 if is_starting(server) else 1 if not server.jobs else 2
    return (stage, state.is_fresh(server), len(server.jobs))
