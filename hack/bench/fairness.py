"""One tenant with thousands of jobs and some with a few: how long each waits, by us and first in first out.

On a virtual clock, from no server at all: no figure depends on the machine.
"""

from collections.abc import Mapping, Sequence
from heapq import heapreplace
from typing import Any

from rich.console import Console
from rich.table import Table

from comfyard.controller.pools import Pool
from hack.bench.measured import percentile
from tests.builders import profile
from tests.simulation.orders import Job
from tests.simulation.world import Costs, World

SEED = 6
SERVERS = 20
JOBS = 5000
FEW = 20
TENANTS = 3
COME_AT = 600.0
"""Seconds after the jobs of the large tenant, when all servers are its own."""
RENDER_SECONDS = 10.0
COSTS = Costs(start=(30.0, 60.0), switch=20.0)
LARGE = "large"

Waits = dict[str, list[float]]


def fairness() -> dict[str, Any]:
    """Let all of them run; prints a table."""
    jobs = orders()
    world = play(jobs)
    ours, fifo = waits_of(world), first_in_first_out(jobs)
    _show(ours, fifo)
    return {
        "ours": _figures(ours),
        "fifo": _figures(fifo),
        "hand_overs": world.counts["Yielded"],
        "load": {"servers": SERVERS, "large": JOBS, "small": FEW, "small_tenants": TENANTS, "come_at_seconds": COME_AT},
    }


def orders() -> list[Job]:
    """All at once: those of the large tenant first, those of the small ones when it holds every server."""
    return [
        Job.of(
            f"job-{number:05}", Pool(name, "l4", ("models",), "results"), at, RENDER_SECONDS, models=frozenset({"m"})
        )
        for name, count, at in [(LARGE, JOBS, 0.0), *((f"small-{n}", FEW, COME_AT) for n in range(1, TENANTS + 1))]
        for number in range(count)
    ]


def play(jobs: Sequence[Job]) -> World:
    """By our scheduler, with servers that have to start first, and to be handed over."""
    world = World({"l4": profile(max_servers=SERVERS, idle_seconds=300)}, COSTS, seed=SEED)
    world.order(jobs)
    world.run(until=7 * 86400)
    return world


def waits_of(world: World) -> Waits:
    """Of each tenant's jobs."""
    waits: Waits = {}
    for (namespace, _), run in world.runs.items():
        waits.setdefault(namespace, []).append(run.waited)
    return waits


def first_in_first_out(jobs: Sequence[Job]) -> Waits:
    """The best that it could be: on servers that any tenant can use, that are there, and have all loaded."""
    waits: Waits = {}
    free = [0.0] * SERVERS
    for job in sorted(jobs, key=lambda each: each.at):
        begin = max(free[0], job.at)
        heapreplace(free, begin + job.seconds)
        waits.setdefault(job.demand.pool.namespace, []).append(begin - job.at)
    return waits


def _figures(waits: Waits) -> dict[str, dict[str, float]]:
    return {
        name: {"p50_seconds": round(percentile(each, 50), 1), "max_seconds": round(max(each), 1)}
        for name, each in waits.items()
    }


def _show(ours: Mapping[str, list[float]], fifo: Mapping[str, list[float]]) -> None:
    title = f"{LARGE} orders {JOBS} jobs, {COME_AT:.0f} s later {TENANTS} tenants {FEW} each; {SERVERS} servers"
    table = Table("waits of", "p50", "longest", "p50, first in first out", "longest", title=title)
    for name in ours:
        cells = [value for each in (ours[name], fifo[name]) for value in (percentile(each, 50), max(each))]
        table.add_row(name, *(f"{seconds:.0f} s" for seconds in cells))
    Console().print(table)
