"""`make demo`: install Comfyard into a cluster, order two pictures, and watch them come.

Every step prints the command that a person would type; run it again and it goes on from what is there.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column

from comfyard.kube.client import LightkubeClient
from comfyard.kube.informer import Informer
from comfyard.kube.kinds import GENERATION_JOB, MODEL_BUNDLE, Kind
from hack.demo.cluster import Cluster, CommandError, current_cluster

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
OUTPUT = ROOT / "demo-output"
NAMESPACE = "comfyard-demo"
JOB = "lighthouse"
BUNDLE = "sd15"

_FOLLOW_SECONDS = 600

console = Console(highlight=False)


def main() -> None:
    """Run the demo; exit 1 with the reason when something cannot work."""
    began = time.monotonic()
    try:
        cluster = current_cluster(ROOT)
        install(cluster)
        install_model_host(cluster)
        order(cluster)
        asyncio.run(follow(cluster))
        show(cluster)
    except CommandError as error:
        console.print(f"[red]this failed:[/] {error}", markup=True, soft_wrap=True)
        sys.exit(1)
    console.print(f"\n[dim]{time.monotonic() - began:.0f} s since the cluster was up[/]")


def step(title: str, command: str) -> None:
    """Say what happens, and how a person would do it."""
    console.print(f"\n[bold]{title}[/]\n[dim]$ {command}[/]", soft_wrap=True)


def install(cluster: Cluster) -> None:
    """The chart, as a user installs it."""
    step("Installing Comfyard", "helm upgrade --install comfyard charts/comfyard -n comfyard-system --create-namespace")
    repository, tag = cluster.images["comfyard"].rsplit(":", 1)
    cluster.helm(
        *("upgrade", "--install", "comfyard", str(ROOT / "charts" / "comfyard")),
        *("--namespace", "comfyard-system", "--create-namespace", "--wait", "--timeout", "120s"),
        *("--set", f"image.repository={repository}", "--set-string", f"image.tag={tag}"),
        *("--set", "storage.resultsSize=1Gi"),
    )


def install_model_host(cluster: Cluster) -> None:
    """In the place of a model hub."""
    step("Serving a checkpoint-shaped file inside the cluster", "kubectl apply -f hack/demo/model-host.yaml")
    cluster.apply(cluster.with_images((ROOT / "hack" / "demo" / "model-host.yaml").read_text()))
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/model-host", "--timeout=120s")


def order(cluster: Cluster) -> None:
    """The four resources, checked before anything is started for them."""
    step("Checking the manifests, without a cluster", "comfyard lint examples/quickstart/")
    print(cluster.comfyard("lint", str(QUICKSTART)).strip())
    step("Ordering two pictures", f"kubectl apply -n {NAMESPACE} -f examples/quickstart/")
    text = "\n---\n".join(path.read_text() for path in sorted(QUICKSTART.glob("*.yaml")))
    console.print(cluster.apply(cluster.with_images(text), NAMESPACE).strip())


async def follow(cluster: Cluster) -> None:
    """Bars for the download and the rendering, from status alone, until the job is finished."""
    console.print()
    client = LightkubeClient.from_kubeconfig(cluster.kubeconfig, "comfyard-demo")
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=26)),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    try:
        async with asyncio.timeout(_FOLLOW_SECONDS):
            with Progress(*columns, console=console) as bars:
                await _until(client, MODEL_BUNDLE, BUNDLE, _bundle_bar(bars))
                await _until(client, GENERATION_JOB, JOB, _job_bar(bars))
    finally:
        await client.close()


async def _until(client: LightkubeClient, kind: Kind, name: str, show_status: Callable[[dict[str, Any]], bool]) -> None:
    informer = Informer(client, kind, NAMESPACE)
    following = asyncio.create_task(informer.run())
    try:
        while not (name in informer.objects and show_status(informer.objects[name])):
            await informer.changed()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _bundle_bar(bars: Progress) -> Callable[[dict[str, Any]], bool]:
    bar = bars.add_task(f"ModelBundle {BUNDLE}", total=1, note="")

    def show_status(obj: dict[str, Any]) -> bool:
        status = obj["status"]
        amount = status.get("bytes") or {}
        bars.update(bar, completed=amount.get("ready", 0), total=amount.get("total") or 1, note=_message(status))
        if _is(status, "Ready"):
            bars.update(bar, completed=1, total=1)
        if _is(status, "Stalled"):
            raise SystemExit(f"the bundle is stalled: {_message(status)}")
        return _is(status, "Ready")

    return show_status


def _job_bar(bars: Progress) -> Callable[[dict[str, Any]], bool]:
    bar = bars.add_task(f"GenerationJob {JOB}", total=100, note="")

    def show_status(obj: dict[str, Any]) -> bool:
        status = obj["status"]
        percent = (status.get("progress") or {}).get("percent", 0)
        bars.update(bar, completed=percent, note=status.get("message", ""))
        if _is(status, "Failed"):
            raise SystemExit(f"the job has failed: {status['message']}")
        return _is(status, "Complete")

    return show_status


def _is(status: dict[str, Any], condition: str) -> bool:
    return any(c["type"] == condition and c["status"] == "True" for c in status.get("conditions", []))


def _message(status: dict[str, Any]) -> str:
    return next((c["message"] for c in status.get("conditions", []) if c["type"] == "Ready"), "")


def show(cluster: Cluster) -> None:
    """Where the pictures are, what the cluster says, what to try next."""
    fetch = ("results", JOB, "-n", NAMESPACE, "--force", "--to")
    step("Your pictures (drawn by the stand-in: it says so on them)", f"comfyard {' '.join(fetch)} {OUTPUT.name}")
    print(cluster.comfyard(*fetch, str(OUTPUT)).strip())
    step("What the cluster says", f"kubectl get comfy -n {NAMESPACE}")
    print(cluster.kubectl("-n", NAMESPACE, "get", "comfy").strip())
    second = json.loads((ROOT / "hack" / "demo" / "second-job.json").read_text())
    console.print("\n[bold]To try next[/]")
    for command, about in (
        (f"export KUBECONFIG={cluster.kubeconfig}", ""),
        (
            f"kubectl apply -n {NAMESPACE} -f hack/demo/second-job.json",
            f"order {second['spec']['parameters']['prompt']}",
        ),
        (f"kubectl get cgj -n {NAMESPACE} -w", "watch it run, on the server that is warm"),
        (f"kubectl describe cgj {JOB} -n {NAMESPACE}", "attempts, seed, digests of the files"),
        (f".venv/bin/comfyard rerun {JOB} -n {NAMESPACE}", "order the same pictures again, and compare"),
        (
            f"kubectl apply -n {NAMESPACE} -f examples/quickstart/40-generation-job.yaml",
            "a finished job never runs again",
        ),
        ("make cluster-down", "remove the cluster and all that is in it"),
    ):
        print(f"  {command:<78}  {about}".rstrip())


if __name__ == "__main__":
    main()
