"""Jobs through the operator alone: the control plane is real, agents and kubelet are played by one light process."""

import os
import time
from typing import Any

from hack.bench import traffic
from hack.bench.bed import bed
from hack.bench.measured import busy_seconds, cost_of
from hack.bench.player import playing
from hack.cluster.process import say

SERVERS = 20
BURST = 300
_BURSTS = 5


async def replay(jobs: int) -> dict[str, Any]:
    """So many jobs at once on warm servers."""
    say(f"replay: {jobs} jobs over {SERVERS} played servers")
    async with bed(maxServers=SERVERS) as here, playing(here.kubeconfig, here.studio.namespace, held=True) as player:
        await traffic.warm(here, player, SERVERS)
        player.allow(jobs)
        here.audit.skip()
        pids = {
            "operator": here.operator.pid,
            "player": player.pid,
            "creator": os.getpid(),
            **here.plane.control_plane.pids,
        }
        before, began = {name: cost_of(pid) for name, pid in pids.items()}, time.time()
        busy = busy_seconds()
        names = [f"job-{index}" for index in range(jobs)]
        await traffic.create_jobs(here, names)
        created = time.time()
        await traffic.through(player, names)
        after = {name: cost_of(pid) for name, pid in pids.items()}
        busy, seconds = busy_seconds() - busy, time.time() - began
        spent = {name: after[name].cpu - before[name].cpu for name in pids}
        requests = [each for each in here.audit.read() if each.namespace in {here.studio.namespace, ""}]
        waits = traffic.submitted_after(player, traffic.created_at(requests), names)
        return {
            "jobs": jobs,
            "servers": len(player.ready),
            "created_per_second": round(jobs / (created - began), 1),
            **traffic.rates(player, names, began),
            **traffic.in_ms("created_to_submitted", waits),
            **traffic.in_ms("finished_to_visible", traffic.visible_after(player, names)),
            **traffic.per_job(requests, jobs),
            "cpu_ms_per_job": {name: round(cpu / jobs * 1000, 2) for name, cpu in spent.items()},
            "processors_busy": round(busy / seconds, 2),
            "processors_busy_elsewhere": round((busy - sum(spent.values())) / seconds, 2),
            "operator_rss_mib": round(after["operator"].rss_mib, 1),
            "operator_peak_rss_mib": round(after["operator"].peak_mib, 1),
            "writes_again": player.again,
            "executions_per_job": sum(player.executions[name] for name in names) / jobs,
        }


async def burst() -> dict[str, Any]:
    """So many jobs on idle warm servers: as fast as one client gets answers, and with many requests at a time."""
    return {
        "jobs": BURST,
        "servers": SERVERS,
        "bursts": _BURSTS,
        **traffic.in_ms("submit", await _bursts(creators=1)),
        **traffic.in_ms(f"submit_by_{traffic.CREATORS}_clients", await _bursts(traffic.CREATORS)),
    }


async def _bursts(creators: int) -> list[float]:
    """Seconds from the creation of each job until its agent knew of it."""
    say(f"burst: {_BURSTS} times {BURST} jobs on {SERVERS} idle played servers, by {creators}")
    waits: list[float] = []
    async with bed(maxServers=SERVERS) as here, playing(here.kubeconfig, here.studio.namespace, held=True) as player:
        await traffic.warm(here, player, SERVERS)
        player.allow(BURST * _BURSTS)
        for index in range(_BURSTS):
            names = [f"burst-{index}-{number}" for number in range(BURST)]
            await traffic.create_jobs(here, names, creators)
            await traffic.through(player, names)
            waits += traffic.submitted_after(player, traffic.created_at(here.audit.read()), names)
    return waits
