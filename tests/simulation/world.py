"""A cluster on a virtual clock: jobs that arrive, servers that start, render, fail and go, by the scheduler's word.

Whatever the scheduler decides against its own rules is an AssertionError at once.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from random import Random

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.fair_share import Usage
from comfyard.controller.pools import Pool, Server, shape_of
from comfyard.controller.queue import Demand, JobKey, PoolKey, Queue
from comfyard.controller.scheduler import schedule
from comfyard.controller.snapshot import Limits, Reason, Schedule, Snapshot
from tests.builders import NOW
from tests.simulation.clock import Clock
from tests.simulation.orders import Job, Run
from tests.simulation.rules import check

_LEAVING_SECONDS = 3.0
_BACK_OFF_SECONDS = 20.0
_MEAN_WEIGHT = 0.3


@dataclass(frozen=True)
class Costs:
    """Seconds that things take in this cluster; how many of a hundred servers do not start."""

    start: tuple[float, float] = (20.0, 60.0)
    switch: float = 10.0
    failing: int = 0


@dataclass
class Machine:
    """A server pod and the ComfyUI in it."""

    server: Server
    loaded: frozenset[str] = frozenset()
    ends: int = 0
    """Number of the event that ends what runs; 0: nothing runs."""


@dataclass
class World:
    """All of it.

    Attributes:
        policy: What decides.
        runs: What became of each job.
        counts: Of what happened: passes, grown, switches, and retirements by their reason.
        longest_pass: Seconds that a job was passed by younger ones while it was the first of its pool.
    """

    profiles: dict[str, HardwareProfile]
    costs: Costs = Costs()
    limits: Mapping[str, Limits] = field(default_factory=dict)
    warm: Mapping[str, Pool] = field(default_factory=dict)
    seed: int = 0
    policy: Callable[[Snapshot, datetime], Schedule] = schedule
    runs: dict[JobKey, Run] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    longest_pass: float = 0.0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - a load, not a secret
        self.queue = Queue()
        self.clock = Clock()
        self._names = count(1)
        self._usage = Usage()
        self._seconds: dict[PoolKey, float] = {}
        self._not_before: dict[PoolKey, datetime] = {}
        self._at_most = Counter[str]()
        self._broken: set[PoolKey] = set()
        self._first: dict[PoolKey, tuple[JobKey, float]] = {}

    @property
    def time(self) -> float:
        """Seconds since the start."""
        return self.clock.time

    @property
    def now(self) -> datetime:
        """The time in this world."""
        return NOW + timedelta(seconds=self.time)

    def order(self, jobs: Iterable[Job]) -> None:
        """Let jobs come."""
        for job in jobs:
            self.runs[job.demand.job] = Run(job)
            self.clock.at(job.at, partial(self.queue.put, job.demand))

    def run(self, until: float = float("inf")) -> None:
        """Let everything happen, in its order; the scheduler looks after each moment in which something did."""
        self.pass_()
        self.clock.run(self.pass_, until)

    def start(self, pool: Pool, *, ready: bool = False) -> Machine:
        """A server as it is made."""
        name = f"{pool.name}-{next(self._names):05}"
        profile = self.profiles[pool.profile]
        server = Server(
            pool.namespace, name, pool.name, pool.profile, ready=False, leaving=False, shape=shape_of(profile)
        )
        machine = self.machines[name] = Machine(replace(server, unready_since=self.now))
        if ready:
            self._ready(machine)
        elif self.random.randrange(100) < self.costs.failing:
            self.clock.at(self.time + self.costs.start[0], lambda: self._fail(machine))
        else:
            self.clock.at(self.time + self.random.uniform(*self.costs.start), lambda: self._ready(machine))
        return machine

    def change(self, profile: HardwareProfile) -> None:
        """Somebody applies a profile anew."""
        name = profile.metadata.name
        self.profiles[name] = profile
        self._at_most[name] = sum(server.profile == name for server in self._there())

    def lose(self, machine: Machine) -> None:
        """Evict a server: its jobs return to the queue, what is left of it stays until it is removed."""
        if machine.server.leaving:
            return
        for job in machine.server.jobs:
            self.queue.put(self.runs[job].job.demand)
        self.clock.cancel(machine.ends)
        machine.server = replace(
            machine.server, ready=False, leaving=True, over=True, jobs=(), idle_since=None, unready_since=self.now
        )

    def snapshot(self) -> Snapshot:
        """What the scheduler sees."""
        return Snapshot(
            queue=self.queue,
            servers=[machine.server for machine in self.machines.values()],
            profiles=self.profiles,
            limits=self.limits,
            usage=self._usage.snapshot(self.now),
            seconds=self._seconds,
            warm=self.warm,
            not_before=self._not_before,
            broken=self._broken,
        )

    def pass_(self) -> None:
        """Decide and carry out."""
        self.counts["passes"] += 1
        self._note_first()
        result = self.policy(self.snapshot(), self.now)
        for retirement in result.retire:
            self._retire(retirement.server.name, retirement.reason)
        for job, server in result.assign.items():
            self._assign(job, self.machines[server.name])
        for pool in result.grow:
            assert self._not_before.get((pool.namespace, pool.name), self.now) <= self.now
            self.counts["grown"] += 1
            self.start(pool)
        self._at_most = check(self._there(), self.profiles, self.limits, self._at_most)
        if result.wake_after is not None:
            self.clock.at(self.time + result.wake_after + 0.001, lambda: None)

    def _note_first(self) -> None:
        """Since when the first job of each pool is the first."""
        firsts: dict[PoolKey, Demand] = {}
        for group, demands in self.queue.groups().items():
            known = firsts.get(group.pool_key)
            firsts[group.pool_key] = min(known, demands[0], key=lambda d: d.order) if known else demands[0]
        before = self._first
        self._first = {
            key: before[key] if key in before and before[key][0] == demand.job else (demand.job, self.time)
            for key, demand in firsts.items()
        }

    def _assign(self, job: JobKey, machine: Machine) -> None:
        server, demand = machine.server, self.queue.get(job)
        assert demand, f"{job} does not wait"
        assert server.ready, f"{server.name} is not ready"
        assert not server.leaving, f"{server.name} leaves"
        assert server.pool == demand.pool.name, f"{server.name} is of another pool"
        assert len(server.jobs) < self.profiles[server.profile].spec.pool.queue_depth, f"{server.name} is full"
        first, since = self._first[demand.pool.namespace, demand.pool.name]
        passed = self.queue.get(first)
        if passed and passed.priority == demand.priority and passed.order < demand.order:
            self.longest_pass = max(self.longest_pass, self.time - since)
        self.queue.discard(job)
        new = bool(demand.models) and demand.models != server.models
        machine.server = replace(
            server,
            jobs=(*server.jobs, job),
            idle_since=None,
            models=demand.models or server.models,
            warm_since=self.now if new else server.warm_since,
        )
        if not machine.ends:
            self._render(machine)

    def _render(self, machine: Machine) -> None:
        """Begin the next job of a server, with its models loaded first."""
        run = self.runs[machine.server.jobs[0]]
        lacking = run.job.demand.models - machine.loaded
        self.counts["switches"] += bool(lacking)
        machine.loaded = run.job.demand.models or machine.loaded
        run.began = self.time + (self.costs.switch if lacking else 0.0)
        run.executions += 1
        machine.ends = self.clock.at(run.began + run.job.seconds, lambda: self._end(machine))

    def _end(self, machine: Machine) -> None:
        server = machine.server
        run = self.runs[server.jobs[0]]
        run.ended = self.time
        run.completions += 1
        key = (server.namespace, server.pool)
        self._usage.add(server.namespace, run.job.seconds * self.profiles[server.profile].spec.gpu.count, self.now)
        known = self._seconds.get(key, run.job.seconds)
        self._seconds[key] = known + _MEAN_WEIGHT * (run.job.seconds - known)
        jobs = server.jobs[1:]
        machine.server = replace(
            server, jobs=jobs, done=server.done + 1, idle_since=None if jobs or not server.ready else self.now
        )
        machine.ends = 0
        if jobs:
            self._render(machine)

    def _ready(self, machine: Machine) -> None:
        if not machine.server.leaving:
            machine.server = replace(machine.server, ready=True, unready_since=None, idle_since=self.now)
            self._broken.discard((machine.server.namespace, machine.server.pool))

    def _fail(self, machine: Machine) -> None:
        """It stays as it is, as when its image cannot be pulled, or ends; its pool is not to grow for a while."""
        if machine.server.leaving:
            return
        key = (machine.server.namespace, machine.server.pool)
        self._not_before[key] = self.now + timedelta(seconds=_BACK_OFF_SECONDS)
        self._broken.add(key)
        if self.random.random() < 0.5:
            self.lose(machine)
        else:
            machine.server = replace(machine.server, trouble="ImagePullBackOff: image not found", fails_at=self.now)

    def _retire(self, name: str, reason: Reason) -> None:
        machine = self.machines[name]
        assert not machine.server.jobs, f"{name} is busy and retired as {reason}"
        self.counts[reason] += 1
        machine.server = replace(machine.server, ready=False, leaving=True, over=False, idle_since=None)
        self.clock.at(self.time + _LEAVING_SECONDS, partial(self.machines.__delitem__, name))

    def _there(self) -> list[Server]:
        return [machine.server for machine in self.machines.values() if not machine.server.leaving]
