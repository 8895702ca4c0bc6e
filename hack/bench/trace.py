"""Model switches and waits: one trace of jobs, scheduled by us, first in first out, and as well as can be.

On a virtual clock: no figure depends on the machine. A job of the trace renders for RENDER_SECONDS, after a switch of
SWITCH_SECONDS when its server has other models loaded.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from math import inf
from random import Random
from typing import Any

from rich.console import Console
from rich.table import Table

from comfyard.controller.affinity import PASS_SECONDS
from comfyard.controller.pools import Pool
from comfyard.controller.scheduler import schedule
from comfyard.controller.snapshot import Schedule, Snapshot
from tests.builders import profile
from tests.simulation.orders import Job
from tests.simulation.world import Costs, World

SEED = 6
JOBS = 400
BUNDLES = 4
SERVERS = 2
RENDER_SECONDS = 10.0
SWITCH_SECONDS = 30.0
"""Some 10 GiB of models from a volume that gives 350 MiB/s."""
LOAD = 0.85
"""Of what the servers could render, if they never switched."""
OTHER_LOADS = (0.5, 0.7, 1.0, inf)
"""For comparison; the last has all jobs there at the start."""
OTHER_SEEDS = range(100, 120)

_POOL = Pool("studio", "l4", ("models",), "results")


@dataclass(frozen=True)
class Figures:
    """Of one way to schedule.

    Attributes:
        switches: How often a server loads other models, the first time included.
        longest_pass: Seconds for which the first job of the queue was passed by others.
    """

    switches: int
    mean_wait_seconds: float
    max_wait_seconds: float
    longest_pass_seconds: float


def trace() -> dict[str, Any]:
    """Play the trace, and others to compare; prints a table."""
    jobs = orders(SEED, LOAD)
    ours, fifo = play(jobs, schedule), play(jobs, first_in_first_out)
    bound = fewest_switches(jobs, ours.max_wait_seconds)
    others = [_ratio(orders(seed, LOAD)) for seed in OTHER_SEEDS]
    figures = {
        "switches_vs_fifo": round(ours.switches / fifo.switches, 3),
        "ours": _rounded(ours),
        "fifo": _rounded(fifo),
        "fewest_switches_if_nobody_waits_longer": bound,
        "fewest_switches_however_long_they_wait": BUNDLES,
        "pass_bound_seconds": PASS_SECONDS,
        "switches_vs_fifo_of_other_traces": {"traces": len(others), "least": min(others), "most": max(others)},
        "switches_vs_fifo_at_other_loads": {str(load): _ratio(orders(SEED, load)) for load in OTHER_LOADS},
        "trace": {
            "jobs": JOBS,
            "bundles": BUNDLES,
            "servers": SERVERS,
            "render_seconds": RENDER_SECONDS,
            "switch_seconds": SWITCH_SECONDS,
            "load": LOAD,
        },
    }
    _show({"ours": ours, "first in first out": fifo}, bound)
    return figures


def orders(seed: int, load: float) -> list[Job]:
    """Jobs that come at random times, each with one of the bundles."""
    random = Random(seed)  # noqa: S311 - a load, not a secret
    at, jobs = 0.0, []
    for number in range(JOBS):
        at += random.expovariate(load * SERVERS / RENDER_SECONDS) if load < inf else 0.0
        models = frozenset({f"bundle-{random.randrange(BUNDLES)}"})
        jobs.append(Job.of(f"job-{number:03}", _POOL, at, RENDER_SECONDS, models=models))
    return jobs


def first_in_first_out(snapshot: Snapshot, _now: datetime) -> Schedule:
    """The oldest job to the next idle server, whatever that has loaded."""
    waiting = sorted((d for group in snapshot.queue.groups().values() for d in group), key=lambda d: d.order)
    idle = [server for server in snapshot.servers if server.is_idle]
    return Schedule(assign={demand.job: server for demand, server in zip(waiting, idle, strict=False)})


def play(jobs: Sequence[Job], policy: Callable[[Snapshot, datetime], Schedule]) -> Figures:
    """Let all of them run. The servers are there, with nothing loaded."""
    profiles = {"l4": profile(max_servers=SERVERS, idle_seconds=7 * 86400)}
    world = World(profiles, Costs(switch=SWITCH_SECONDS), policy=policy)
    for _ in range(SERVERS):
        world.start(_POOL, ready=True)
    world.order(jobs)
    world.run(until=7 * 86400)
    waits = [run.waited for run in world.runs.values()]
    if any(run.completions != 1 for run in world.runs.values()):
        raise RuntimeError("not every job of the trace has run exactly once")
    return Figures(world.counts["switches"], sum(waits) / len(waits), max(waits), world.longest_pass)


def fewest_switches(jobs: Sequence[Job], wait: float) -> int:
    """The least number of switches with which no job of the trace waits longer: no schedule can do with fewer.

    Exact for servers that render and load in no time; real ones can only need more. Nothing is lost by loading a bundle
    no earlier than the oldest of its waiting jobs has to begin, so the only choice is which bundle goes instead; all of
    these are tried.
    """
    arrivals: dict[str, list[float]] = {}
    for job in jobs:
        arrivals.setdefault(next(iter(job.demand.models)), []).append(job.at)
    names = sorted(arrivals)

    @cache
    def least(loaded: frozenset[str], pending: tuple[float, ...]) -> int:
        """Switches from here on; `pending` is when the oldest job that still waits came, of each bundle."""
        oldest = min(pending)
        if oldest == inf:
            return 0
        bundle, now = names[pending.index(oldest)], oldest + wait
        victims: list[str | None] = list(loaded) if len(loaded) == SERVERS else [None]
        found = []
        for victim in victims:
            after = [
                _next(arrivals[name], now) if name == victim else at for name, at in zip(names, pending, strict=True)
            ]
            after[names.index(bundle)] = inf
            found.append(least((loaded - {victim}) | {bundle}, tuple(after)))
        return 1 + min(found)

    return least(frozenset(), tuple(arrivals[name][0] for name in names))


def _next(arrivals: Sequence[float], after: float) -> float:
    index = bisect_right(arrivals, after)
    return arrivals[index] if index < len(arrivals) else inf


def _ratio(jobs: Sequence[Job]) -> float:
    return round(play(jobs, schedule).switches / play(jobs, first_in_first_out).switches, 3)


def _rounded(figures: Figures) -> dict[str, float]:
    return {name: round(value, 1) for name, value in asdict(figures).items()}


def _show(rows: Mapping[str, Figures], bound: int) -> None:
    title = f"{JOBS} jobs, {BUNDLES} bundles, {SERVERS} servers, {RENDER_SECONDS:.0f} s a job, "
    table = Table(
        "", "switches", "mean wait", "longest wait", "longest pass", title=f"{title}{SWITCH_SECONDS:.0f} s a switch"
    )
    for name, each in rows.items():
        waits = (each.mean_wait_seconds, each.max_wait_seconds, each.longest_pass_seconds)
        table.add_row(name, str(each.switches), *(f"{seconds:.0f} s" for seconds in waits))
    table.add_row("no schedule with these waits needs fewer", str(bound), "", "", "")
    table.add_row("however long they wait", str(BUNDLES), "", "", "")
    Console().print(table)
