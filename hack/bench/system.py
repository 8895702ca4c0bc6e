"""Jobs through the whole system: real agents and stand-ins as processes of this machine; only kubelet is played."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from comfyard.workflow.prompts import prompt_id
from hack.bench import traffic
from hack.bench.api import Api
from hack.bench.bed import Bed, bed
from hack.bench.kubelet import USER_AGENT, Kubelet
from hack.bench.measured import cost_of
from hack.bench.replay import SERVERS
from hack.bench.servers import Servers
from hack.bench.watching import Watcher
from hack.cluster.process import say

_START_SECONDS = 300.0
_SLOWEST_JOBS_PER_SECOND = 3.0
_WARM_JOBS_PER_SERVER = 4


@contextlib.asynccontextmanager
async def serving(here: Bed, step_seconds: float = 0.0) -> AsyncIterator[tuple[Servers, Watcher]]:
    """Everything that runs server pods, and a watch of the jobs."""
    async with Api(here.kubeconfig, USER_AGENT) as api:
        with TemporaryDirectory(prefix="comfyard-bench-") as folder:
            servers = Servers(here.plane, here.studio.namespace, Path(folder), step_seconds)
            watcher = Watcher(api, here.studio.namespace)
            kubelet = Kubelet(api, here.studio.namespace, servers.serve)
            async with asyncio.TaskGroup() as group:  # whoever fails ends the section
                tasks = [group.create_task(kubelet.run()), group.create_task(watcher.run())]
                try:
                    yield servers, watcher
                finally:
                    for task in tasks:
                        task.cancel()


async def system(jobs: int) -> dict[str, Any]:
    """So many jobs at once on warm servers."""
    say(f"system: {jobs} jobs over {SERVERS} agents and stand-ins")
    async with bed(maxServers=SERVERS) as here, serving(here) as (servers, watcher):
        await warm(here, servers, watcher, SERVERS)
        here.audit.skip()
        pids = {"operator": here.operator.pid, **here.plane.control_plane.pids}
        before, began = {name: cost_of(pid) for name, pid in pids.items()}, time.time()
        names = [f"job-{index}" for index in range(jobs)]
        await traffic.create_jobs(here, names)
        await watcher.until_complete(names, jobs / _SLOWEST_JOBS_PER_SECOND + _START_SECONDS)
        after = {name: cost_of(pid) for name, pid in pids.items()}
        requests = [each for each in here.audit.read() if each.namespace in {here.studio.namespace, ""}]
        created, done = traffic.created_at(requests), watcher.seen["Complete"]
        runs = {each.prompt_id: each for each in servers.executions()}
        ours = {name: runs[prompt_id(watcher.uids[name], 0, 0)] for name in names}
        return {
            "jobs": jobs,
            "servers": len(servers.urls),
            "jobs_per_second": round(jobs / (max(done[name] for name in names) - began), 1),
            **traffic.in_ms("created_to_rendering", [ours[name].began - created[name] for name in names]),
            **traffic.in_ms("finished_to_visible", [done[name] - ours[name].ended for name in names]),
            **traffic.per_job(requests, jobs),
            "cpu_ms_per_job": {name: round((after[name].cpu - before[name].cpu) / jobs * 1000, 2) for name in pids},
            "operator_rss_mib": round(after["operator"].rss_mib, 1),
            "executions_per_job": sum(1 for _ in servers.executions()) / (jobs + SERVERS * _WARM_JOBS_PER_SERVER),
        }


async def warm(here: Bed, servers: Servers, watcher: Watcher, count: int) -> None:
    """Have so many servers, all with their models loaded."""
    names = [f"warm-{index}" for index in range(count * _WARM_JOBS_PER_SERVER)]
    await traffic.create_jobs(here, names)
    await watcher.until_complete(names, _START_SECONDS)
    say(f"  {len(servers.urls)} servers are warm")
