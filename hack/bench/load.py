"""Many jobs in the cluster: what each costs the operator as they become more, and what its restart costs."""

import asyncio
import signal
import time
from collections.abc import Sequence
from typing import Any

from hack.bench import traffic
from hack.bench.audit import OPERATOR, tally
from hack.bench.bed import Bed, bed
from hack.bench.measured import cost_of
from hack.bench.player import BenchError, Player, playing
from hack.bench.replay import SERVERS
from hack.cluster.operator_process import OperatorProcess
from hack.cluster.process import say

DEPTHS = (1000, 3000, 10000, 30000)
RESTART_JOBS = 10000
RESTART_RUNNING = 50
_RUN_THROUGH = 400
"""Jobs that are completed at each depth."""
_AFTERWARDS = 100
"""Jobs that are completed after the restart."""

_LOOK_SECONDS = 1.0
_QUIET = 0.25
"""Of a processor: an operator that uses less has nothing urgent to do."""
_QUIET_SECONDS = 3.0
_PATIENCE_SECONDS = 300.0


async def growth(depths: Sequence[int] = DEPTHS) -> dict[str, Any]:
    """Fill the queue to each depth, and run some jobs through with that many behind them.

    The cost of a job at a depth is what the operator spends on it when it comes and waits, and when it runs.
    """
    say(f"growth: {', '.join(map(str, depths))} jobs")
    async with bed(maxServers=SERVERS) as here, playing(here.kubeconfig, here.studio.namespace, held=True) as player:
        await traffic.warm(here, player, SERVERS)
        curve: list[dict[str, float]] = []
        total = 0
        for depth in depths:
            names = [f"job-{index}" for index in range(total, depth)]
            total = depth
            before = cost_of(here.operator.pid)
            await traffic.create_jobs(here, names)
            await settled(here.operator)
            filled = cost_of(here.operator.pid)
            done = len(player.times["gone"])
            began = time.monotonic()
            player.allow(_RUN_THROUGH)
            await player.until(lambda: len(player.times["gone"]) >= done + _RUN_THROUGH, _PATIENCE_SECONDS)  # noqa: B023
            seconds = time.monotonic() - began
            after = cost_of(here.operator.pid)
            waiting, running = (filled.cpu - before.cpu) / len(names), (after.cpu - filled.cpu) / _RUN_THROUGH
            curve.append(
                {
                    "jobs": depth,
                    "cpu_ms_per_job": round((waiting + running) * 1000, 2),
                    "cpu_ms_to_queue": round(waiting * 1000, 2),
                    "cpu_ms_to_run": round(running * 1000, 2),
                    "jobs_per_second": round(_RUN_THROUGH / seconds, 1),
                    "rss_mib": round(after.rss_mib, 1),
                }
            )
            say(f"  {curve[-1]}")
        return {"curve": curve, "growth": round(curve[-1]["cpu_ms_per_job"] / curve[0]["cpu_ms_per_job"], 2)}


async def settled(operator: OperatorProcess) -> float:
    """Wait until the operator has nothing urgent to do; returns when that began, in seconds since 1970."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    began, before = time.time(), cost_of(operator.pid).cpu
    while time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)
        cpu = cost_of(operator.pid).cpu
        if cpu - before > _QUIET * _LOOK_SECONDS:
            began = time.time()
        elif time.time() - began > _QUIET_SECONDS:
            return began
        before = cpu
    raise BenchError(f"the operator is still busy after {_PATIENCE_SECONDS:.0f} s")


async def restart(jobs: int = RESTART_JOBS) -> dict[str, Any]:
    """Kill the operator among so many jobs, of which some run, and start it again."""
    say(f"restart: {jobs} jobs of which {RESTART_RUNNING} run")
    pool = {"maxServers": RESTART_RUNNING, "queueDepth": 1}
    async with bed(**pool) as here, playing(here.kubeconfig, here.studio.namespace, held=True) as player:
        names = [f"job-{index}" for index in range(jobs)]
        await traffic.create_jobs(here, names)
        await player.until(lambda: len(player.times["assigned"]) == RESTART_RUNNING, _PATIENCE_SECONDS)
        await settled(here.operator)
        told_before = len(player.times["assigned"])
        here.operator.stop(signal.SIGKILL)
        here.audit.skip()
        began = time.time()
        here.operator.start()
        quiet = await settled(here.operator)
        rss = cost_of(here.operator.pid)
        requests = [request for request in here.audit.read() if request.program == OPERATOR]
        assigned = await _next_assignment(player)
        await _run_on(here, player)
        extra = sum(player.executions.values()) - len(player.executions)
        return {
            "jobs": jobs,
            "running": told_before,
            "restart_seconds": round(quiet - began, 1),
            "cpu_seconds": round(rss.cpu, 1),
            "next_assignment_ms": round(assigned * 1000),
            "requests": tally(requests)[OPERATOR],
            "requests_made": len(requests),
            "writes_to_jobs": traffic.writes_to_jobs(requests),
            "rss_mib": round(rss.rss_mib, 1),
            "peak_rss_mib": round(rss.peak_mib, 1),
            "executed": sum(player.executions.values()),
            "restart_reruns": extra,
        }


async def _next_assignment(player: Player) -> float:
    """Seconds from the end of a job until its server has another."""
    known = len(player.times["assigned"])
    player.allow(1)
    await player.until(lambda: len(player.times["assigned"]) > known, _PATIENCE_SECONDS)
    return max(player.times["assigned"].values()) - max(player.times["rendered"].values())


async def _run_on(bed: Bed, player: Player) -> None:
    """Complete those that ran, and some more: what was run twice shows."""
    player.allow(_AFTERWARDS)
    await player.until(lambda: len(player.times["gone"]) >= _AFTERWARDS + 1, _PATIENCE_SECONDS)
    await settled(bed.operator)
