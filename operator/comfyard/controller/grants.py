"""How many servers each pool may have, when all of them want more than there may be.

Higher priority goes first; then the namespace that has the fewest servers of the profile, then the one that has used
less lately; within a namespace the pool that has the fewest, then the one whose first job is older. Who holds a server
keeps it at a draw for TURN_SECONDS more than the other, as each hand-over costs the start of a server. A pool whose
servers do not start goes after all others.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import heapify, heappop, heappush
from math import ceil

from comfyard.controller.pool_states import PoolState
from comfyard.controller.queue import PoolKey
from comfyard.controller.snapshot import Limits, Snapshot

SOON_SECONDS = 30.0
"""A backlog that is done within this needs no further server: starting one takes about as long."""

TURN_SECONDS = 300.0
"""How much longer the holder of the last server keeps it than its equal: some times what starting a server costs."""

_ORDINARY = 0
"""The priority of jobs that run: their own is not known here, and this is the usual one."""

_SPARE = -(2**31)
"""Below every job's: servers that are only to be there when a job comes."""


@dataclass(frozen=True)
class Claim:
    """What one pool wants.

    Attributes:
        levels: Priorities in descending order, each with the number of servers wanted for jobs of it and above.
        held: Servers that it has.
        stuck: None of them is ready, and one cannot start.
        since: When its first job was created, in seconds since the epoch.
    """

    key: PoolKey
    profile: str
    levels: tuple[tuple[int, int], ...]
    held: int
    stuck: bool
    since: float

    @property
    def want(self) -> int:
        """Servers wanted in all."""
        return max((count for _, count in self.levels), default=0)

    def priority_of(self, unit: int) -> int | None:
        """Of the jobs that want so many servers; None: nobody does."""
        return next((priority for priority, count in self.levels if count >= unit), None)


def claim_of(state: PoolState, snapshot: Snapshot, now: datetime) -> Claim:
    """What a pool wants: enough to be done soon; and what it holds already, as long as there is a job for each."""
    seconds = snapshot.seconds.get(state.key)
    jobs = state.waiting + state.running
    cap = _cap(state, snapshot, now)
    levels: list[tuple[int, int]] = []
    waiting = 0
    for priority, count in sorted(state.priorities().items(), reverse=True):
        waiting += count
        levels.append((priority, min(cap, _wanted(waiting, seconds))))
    if jobs:
        lowest = min(levels[-1][0] if levels else _ORDINARY, _ORDINARY)
        levels.append((lowest, min(cap, max(_wanted(jobs, seconds), min(_size(state), jobs)))))
    first = state.first
    since = first.created_at if first else now
    held, stuck = len(state.servers), state.is_stuck(now)
    return Claim(state.key, state.profile_name, tuple(levels), held, stuck, since.timestamp())


def _cap(state: PoolState, snapshot: Snapshot, now: datetime) -> int:
    """The most it may want: as many as may have jobs; what it has, while none can be made."""
    most = state.profile.spec.pool.max_servers
    jobs = snapshot.limits.get(state.namespace, Limits()).jobs
    if jobs is not None:
        most = min(most, jobs)
    if snapshot.not_before.get(state.key, now) > now:
        most = min(most, len(state.servers))
    return most


def _size(state: PoolState) -> int:
    """Servers that it has, not counting twice those that are beside the ones that they replace."""
    fresh = len(state.fresh)
    return max(fresh, len(state.servers) - fresh)


def _wanted(jobs: int, seconds: float | None) -> int:
    """One for each job while nobody knows how long one takes."""
    return jobs if seconds is None else min(jobs, max(1, ceil(jobs * seconds / SOON_SECONDS)))


def grant(states: Mapping[PoolKey, PoolState], snapshot: Snapshot, now: datetime) -> list[PoolState]:
    """Set what each pool may have; returns a pool for each server that was granted, in the order of right to it."""
    claims = [claim_of(state, snapshot, now) for state in states.values()]
    claims = [_warmed(claim, claims, states[claim.key], snapshot, now) for claim in claims]
    order = [states[key] for key in _share(claims, states, snapshot)]
    for state, count in Counter(order).items():
        state.granted = count
    return order


def _warmed(claim: Claim, claims: Iterable[Claim], state: PoolState, snapshot: Snapshot, now: datetime) -> Claim:
    """The claim of the pool that is to be warm has what is missing to the minServers of its profile, after all else."""
    warm = snapshot.warm.get(claim.profile)
    if warm is None or (warm.namespace, warm.name) != claim.key:
        return claim
    others = sum(each.want for each in claims if each.profile == claim.profile and each is not claim)
    floor = min(state.profile.spec.pool.min_servers - others, _cap(state, snapshot, now))
    if floor <= claim.want:
        return claim
    return replace(claim, levels=(*claim.levels, (_SPARE, floor)))


_Key = tuple[bool, int, int, float, int, float, PoolKey]


class _Shares:
    """Servers, granted one by one."""

    def __init__(self, claims: Iterable[Claim], states: Mapping[PoolKey, PoolState], snapshot: Snapshot) -> None:
        self.pools: Counter[PoolKey] = Counter()
        self._namespaces: Counter[tuple[str, str]] = Counter()
        self._held: Counter[tuple[str, str]] = Counter()
        for claim in claims:
            self._held[claim.key[0], claim.profile] += claim.held
        self._usage = snapshot.usage
        self._profiles_left = {s.profile_name: s.profile.spec.pool.max_servers for s in states.values()}
        self._namespaces_left = {
            n: limits.servers for n, limits in snapshot.limits.items() if limits.servers is not None
        }

    def key(self, claim: Claim) -> _Key | None:
        """Its right to one more, the smallest first; None: it gets no more. It never gets better."""
        namespace = claim.key[0]
        granted = self.pools[claim.key]
        priority = claim.priority_of(granted + 1)
        if priority is None or not self._profiles_left[claim.profile] or self._namespaces_left.get(namespace) == 0:
            return None
        own = self._namespaces[namespace, claim.profile]
        usage = self._usage.get(namespace, 0.0) - TURN_SECONDS * (self._held[namespace, claim.profile] > own)
        since = claim.since - TURN_SECONDS * (claim.held > granted)
        return (claim.stuck, -priority, own, usage, granted, since, claim.key)

    def add(self, claim: Claim) -> None:
        """Grant one."""
        namespace = claim.key[0]
        self.pools[claim.key] += 1
        self._namespaces[namespace, claim.profile] += 1
        self._profiles_left[claim.profile] -= 1
        if namespace in self._namespaces_left:
            self._namespaces_left[namespace] -= 1


def _share(claims: Iterable[Claim], states: Mapping[PoolKey, PoolState], snapshot: Snapshot) -> list[PoolKey]:
    """Whose each server is, in the order in which they were granted."""
    by_key = {claim.key: claim for claim in claims}
    shares = _Shares(by_key.values(), states, snapshot)
    heap = [key for claim in by_key.values() if (key := shares.key(claim))]
    heapify(heap)
    order: list[PoolKey] = []
    while heap:
        known = heappop(heap)
        claim = by_key[known[-1]]
        key = shares.key(claim)
        if key == known:
            shares.add(claim)
            order.append(claim.key)
            key = shares.key(claim)
        if key:
            heappush(heap, key)
    return order
