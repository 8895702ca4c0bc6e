"""What the way from an order to ComfyUI costs, on the cluster, with the stand-in.

Prints a table and writes build/bench/jobs.json. Machines are noisy: compare counts, and times of one run only.
"""

import asyncio
import json
import statistics
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from comfyard.kube.client import LightkubeClient
from comfyard.kube.informer import Informer
from comfyard.kube.kinds import GENERATION_JOB
from hack.demo.__main__ import QUICKSTART, install, install_model_host
from hack.demo.cluster import Cluster, current_cluster

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "build" / "bench" / "jobs.json"
NAMESPACE = f"comfyard-bench-{uuid.uuid4().hex[:6]}"
"""Of this run alone: the audit log remembers the others."""
RECORD = "/comfyui/user/record.jsonl"
JOBS = 40
"""One after the other, on one warm server."""


def main() -> None:
    """Prepare a warm server, order, count."""
    cluster = current_cluster(ROOT)
    install(cluster)
    install_model_host(cluster)
    prepare(cluster)
    try:
        created = asyncio.run(order_one_by_one(cluster))
        report(cluster, created)
    finally:
        cluster.kubectl("delete", "hardwareprofile", NAMESPACE, "--wait=false")
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def prepare(cluster: Cluster) -> None:
    """The quickstart's bundle and template, and a stand-in that renders in no time and keeps a record."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    cluster.apply(json.dumps(namespace))
    profile = yaml.safe_load(cluster.with_images((QUICKSTART / "10-hardware-profile.yaml").read_text()))
    profile["metadata"]["name"] = NAMESPACE
    profile["spec"]["pool"]["maxServers"] = 1
    env = {"COMFYSIM_STEP_SECONDS": "0", "COMFYSIM_RECORD": RECORD}
    profile["spec"]["server"]["env"] = [{"name": k, "value": v} for k, v in env.items()]
    cluster.apply(json.dumps(profile))
    for file in ("20-model-bundle.yaml", "30-workflow-template.yaml"):
        cluster.apply((QUICKSTART / file).read_text(), NAMESPACE)
    cluster.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "--timeout=180s", "cmb/sd15")


async def order_one_by_one(cluster: Cluster) -> dict[str, float]:
    """Each job when the one before is Complete; returns when the creation of each was asked for, by uid."""
    client = LightkubeClient.from_kubeconfig(cluster.kubeconfig, "bench")
    informer = Informer(client, GENERATION_JOB, NAMESPACE)
    following = asyncio.create_task(informer.run())
    created: dict[str, float] = {}
    try:
        for index in range(JOBS + 1):
            name, began = f"job-{index}", time.time()
            job = await client.create(GENERATION_JOB, _job(name, index))
            await _complete(informer, name)
            if index:  # the first one waits for the server to start
                created[job["metadata"]["uid"]] = began
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await client.close()
    return created


def _job(name: str, seed: int) -> dict[str, Any]:
    values = {"prompt": "bench", "steps": 1, "width": 64, "height": 64, "seed": seed}
    spec = {"template": {"name": "sd15-text-to-image"}, "profiles": [NAMESPACE], "parameters": values}
    return {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


async def _complete(informer: Informer, name: str) -> None:
    async with asyncio.timeout(120):
        while informer.objects.get(name, {}).get("status", {}).get("state") != "Complete":
            await informer.changed()


def report(cluster: Cluster, created: dict[str, float]) -> None:
    """From the stand-in's record when a prompt began, from the API server's audit log who wrote."""
    server = cluster.kubectl("-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/component=server", "-o", "name")
    record = cluster.kubectl("-n", NAMESPACE, "exec", server.strip(), "-c", "comfyui", "--", "cat", RECORD)
    began = {x["prompt_id"]: x["started"] for x in map(json.loads, record.splitlines()) if x["event"] == "start"}
    waits = sorted(began[_first_prompt(uid)] - at for uid, at in created.items())
    writes = Counter(_writer(line) for line in _audit(cluster) if line["verb"] != "create")
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


def _audit(cluster: Cluster) -> list[dict[str, Any]]:
    return [
        line
        for line in map(json.loads, cluster.audit_log().splitlines())
        if line["objectRef"].get("namespace") == NAMESPACE and line["objectRef"]["resource"] == "generationjobs"
    ]
