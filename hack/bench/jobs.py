"""What the way from an order to ComfyUI costs, on the cluster, with the stand-in.

Prints a table and writes build/bench/jobs.json. Machines are noisy: compare counts, and times of one run only.
"""

import asyncio
import json
import statistics
import time
import uuid
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

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
        report(here, await order_one_by_one(here))


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


def report(here: Studio, created: dict[str, float]) -> None:
    """From the stand-in's record when a prompt began, from the API server's audit log who wrote."""
    (server,) = here.servers()
    record = here.cluster.kubectl("-n", here.namespace, "exec", server, "-c", "comfyui", "--", "cat", RECORD)
    began = {x["prompt_id"]: x["started"] for x in map(json.loads, record.splitlines()) if x["event"] == "start"}
    waits = sorted(began[_first_prompt(uid)] - at for uid, at in created.items())
    writes = Counter(_writer(line) for line in _audit(here) if line["verb"] != "create")
    per_job = sum(writes.values()) / (JOBS + 1)
    figures = {
        "jobs": len(waits),
        "created_to_running_p50_ms": round(statistics.median(waits) * 1000),
        "created_to_running_p99_ms": round(waits[int(len(waits) * 0.99)] * 1000),
        "writes_per_job": round(per_job, 2),
        "executions_per_job": len(began) / (JOBS + 1),
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(figures, indent=2) + "\n")
    table = Table("figure", "value", title=f"{JOBS} jobs, one after the other, one warm server")
    for name, value in figures.items():
        table.add_row(name, str(value))
    for writer, count in sorted(writes.items()):
        table.add_row(f"writes by {writer}", f"{count / (JOBS + 1):.2f} a job")
    Console().print(table)


def _first_prompt(uid: str) -> str:
    return str(uuid.uuid5(uuid.UUID(uid), "0/0"))


def _writer(line: dict[str, Any]) -> str:
    return f"{line['userAgent'].split('/')[0]} {line['user']['username'].rsplit(':', 1)[-1]}, {line['verb']}"


def _audit(here: Studio) -> list[dict[str, Any]]:
    return [
        line
        for line in map(json.loads, here.cluster.audit_log().splitlines())
        if line["objectRef"].get("namespace") == here.namespace and line["objectRef"]["resource"] == "generationjobs"
    ]
