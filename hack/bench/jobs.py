"""What the way from an order to ComfyUI costs, on the cluster, with the stand-in.

Prints a table and writes build/bench/jobs.json. Machines are noisy: compare counts, and times of one run only.
"""

import asyncio
import json
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from comfyard.workflow.prompts import prompt_id
from hack.bench import traffic
from hack.bench.audit import AuditLog, Request, tally
from hack.bench.installed import RECORD, ROOT, Studio, studio

REPORT = ROOT / "build" / "bench" / "jobs.json"
JOBS = 40
"""One after the other, on one warm server."""
_PATIENCE_SECONDS = 120.0


def main() -> None:
    """Prepare a warm server, order, count."""
    asyncio.run(measure())


async def measure() -> None:
    """The same."""
    async with studio({"maxServers": 1, "idleSeconds": 600}) as here:
        audit = AuditLog(here.cluster.environment.audit_log)
        created = await order_one_by_one(here)
        report(here, created, [each for each in audit.read() if each.namespace == here.namespace])


async def order_one_by_one(here: Studio) -> dict[str, float]:
    """Each job when the one before is Complete; returns when the creation of each was asked for, by uid."""
    created: dict[str, float] = {}
    for index in range(JOBS + 1):
        name, began = f"job-{index}", time.time()
        job = await here.order(name)
        await here.complete([name], _PATIENCE_SECONDS)
        if index:  # the first one waits for the server to start
            created[job["metadata"]["uid"]] = began
    return created


def report(here: Studio, created: dict[str, float], requests: Sequence[Request]) -> None:
    """From the stand-in's record when a prompt began, from the API server's audit log who wrote."""
    (server,) = here.servers()
    record = here.cluster.kubectl("-n", here.namespace, "exec", server, "-c", "comfyui", "--", "cat", RECORD)
    began = {x["prompt_id"]: x["started"] for x in map(json.loads, record.splitlines()) if x["event"] == "start"}
    waits = [began[prompt_id(uid, 0, 0)] - at for uid, at in created.items()]
    figures = {
        "jobs": len(waits),
        **traffic.in_ms("created_to_running", waits),
        "writes_per_job": round(traffic.writes_to_jobs(requests) / (JOBS + 1), 2),
        "executions_per_job": len(began) / (JOBS + 1),
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(figures, indent=2) + "\n")
    table = Table("figure", "value", title=f"{JOBS} jobs, one after the other, one warm server")
    for name, value in figures.items():
        table.add_row(name, str(value))
    for program, counts in tally(requests).items():
        for what, count in counts.items():
            table.add_row(f"{program}: {what}", f"{count / (JOBS + 1):.2f} a job")
    Console().print(table)
