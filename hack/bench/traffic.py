"""Jobs: created in bulk, waited for, and what was seen of them."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from comfyard.kube.kinds import GENERATION_JOB
from hack.bench.audit import Request, tally
from hack.bench.bed import Bed
from hack.bench.measured import percentile
from hack.bench.player import BenchError, Player
from hack.cluster.process import say

CREATORS = 16
"""Requests at a time: more than the operator assigns, on two processors."""
_SLOWEST_JOBS_PER_SECOND = 4.0
_PATIENCE_SECONDS = 120.0
_SAY_SECONDS = 15.0


async def create_jobs(bed: Bed, names: Iterable[str], creators: int = CREATORS) -> None:
    """Create jobs of these names, with so many requests at a time."""
    todo = iter(enumerate(names))

    async def create() -> None:
        for index, name in todo:
            await bed.api.create(GENERATION_JOB, bed.studio.job(name, index))

    async with asyncio.TaskGroup() as group:
        for _ in range(creators):
            group.create_task(create())


async def through(player: Player, names: Sequence[str]) -> None:
    """Wait until these jobs are done, and say how it goes. Raises BenchError when they do not get anywhere."""
    deadline = time.monotonic() + len(names) / _SLOWEST_JOBS_PER_SECOND + _PATIENCE_SECONDS
    left = set(names)
    while left := left - player.times["gone"].keys():
        if time.monotonic() > deadline:
            raise BenchError(f"{len(left)} of {len(names)} jobs are not done, at less than 4 a second")
        with contextlib.suppress(TimeoutError):
            known = len(player.times["gone"])
            await player.until(lambda: len(player.times["gone"]) >= known + len(left), _SAY_SECONDS)  # noqa: B023
        say(f"  {len(player.times['gone'])} jobs done")


async def warm(bed: Bed, player: Player, servers: int) -> None:
    """Have so many servers, each with its models loaded and nothing to do. The player must be held."""
    names = [f"warm-{index}" for index in range(servers * bed.studio.pool.get("queueDepth", 2))]
    await create_jobs(bed, names)
    await player.until(lambda: len(player.ready) == servers, _PATIENCE_SECONDS)
    player.allow(len(names))
    await through(player, names)


def rates(player: Player, names: Sequence[str], began: float) -> dict[str, float]:
    """Jobs per second: over everything, and between the first and the last tenth."""
    ends = sorted(player.times["gone"][name] for name in names)
    tenth = len(ends) // 10
    steady = ends[-tenth - 1] - ends[tenth]
    return {
        "jobs_per_second": round(len(ends) / (ends[-1] - began), 1),
        "steady_jobs_per_second": round((len(ends) - 2 * tenth - 1) / steady, 1),
    }


def created_at(requests: Iterable[Request]) -> dict[str, float]:
    """When the API server said that a job was created, by name."""
    return {r.name: r.at for r in requests if r.verb == "create" and r.resource == GENERATION_JOB.plural and r.taken}


def submitted_after(player: Player, created: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """Seconds from a job's creation until its agent knew that it is to render it."""
    return [player.times["assigned"][name] - created[name] for name in names]


def visible_after(player: Player, names: Sequence[str]) -> list[float]:
    """Seconds from the end of the rendering until everybody who watches could know."""
    return [player.times["gone"][name] - player.times["rendered"][name] for name in names]


def in_ms(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    return {f"{name}_p{p}_ms": round(percentile(list(seconds), p) * 1000, 1) for p in (50, 99)}


def writes_to_jobs(requests: Iterable[Request]) -> int:
    """How many change jobs or their status, besides creating them."""
    return sum(r.writes and r.verb != "create" and r.resource.startswith(GENERATION_JOB.plural) for r in requests)


def per_job(requests: Sequence[Request], jobs: int) -> dict[str, Any]:
    """For each job: writes to jobs, and requests of all kinds by program and verb."""
    counts = {who: {what: round(n / jobs, 4) for what, n in by.items()} for who, by in tally(requests).items()}
    return {"writes_per_job": round(writes_to_jobs(requests) / jobs, 3), "requests_per_job": counts}
