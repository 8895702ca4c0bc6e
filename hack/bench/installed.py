"""The cluster of `make cluster images` with Comfyard installed as users do, and a namespace where its jobs run."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from pathlib import Path

from comfyard.api.meta import LABEL_COMPONENT
from comfyard.controller.resources.access import COMPONENT_SERVER
from comfyard.kube.client import LightkubeClient
from comfyard.kube.informer import Informer
from comfyard.kube.kinds import GENERATION_JOB, POD, Obj
from hack.bench import quickstart
from hack.bench.player import BenchError
from hack.demo.__main__ import install, install_model_host
from hack.demo.cluster import Cluster, current_cluster

ROOT = Path(__file__).parents[2]
RECORD = "/comfyui/user/record.jsonl"
"""Of a server's stand-in, in its container."""


class Studio:
    """A namespace of one run alone: the audit log remembers the others.

    Attributes:
        namespace: Its name, which its profile has too.
        jobs: All that are there, as the API server said last.
        pods: Likewise.
    """

    def __init__(self, cluster: Cluster, client: LightkubeClient) -> None:
        self.cluster = cluster
        self.namespace = f"comfyard-bench-{uuid.uuid4().hex[:6]}"
        self.jobs = Informer(client, GENERATION_JOB, self.namespace)
        self.pods = Informer(client, POD, self.namespace)
        self._client = client
        self._ordered = 0

    def prepare(self, pool: Mapping[str, int], step_seconds: float) -> None:
        """The quickstart's resources, of its profile these fields of the pool, and a stand-in that keeps a record."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": self.namespace, "labels": labels},
        }
        self.cluster.apply(json.dumps(namespace))
        profile = quickstart.example(quickstart.PROFILE)
        profile["metadata"]["name"] = self.namespace
        profile["spec"]["pool"] = dict(pool)
        env = {"COMFYSIM_STEP_SECONDS": str(step_seconds), "COMFYSIM_RECORD": RECORD}
        profile["spec"]["server"]["env"] = [{"name": k, "value": v} for k, v in env.items()]
        self.cluster.apply(self.cluster.with_images(json.dumps(profile)))
        for file in (quickstart.BUNDLE, quickstart.TEMPLATE):
            self.cluster.apply(quickstart.manifest(file), self.namespace)
        bundle = f"cmb/{quickstart.name_in(quickstart.BUNDLE)}"
        self.cluster.kubectl("-n", self.namespace, "wait", "--for=condition=Ready", "--timeout=180s", bundle)

    def change_pool(self, **fields: int) -> None:
        """Of the profile; no job should wait."""
        patch = json.dumps({"spec": {"pool": fields}})
        self.cluster.kubectl("patch", "hardwareprofile", self.namespace, "--type=merge", "-p", patch)

    def remove(self) -> None:
        """Everything goes, in the background."""
        for kind in ("hardwareprofile", "namespace"):
            self.cluster.kubectl("delete", kind, self.namespace, "--wait=false", "--ignore-not-found")

    async def order(self, name: str, steps: int = 1) -> Obj:
        """Create a job; no two have the same seed."""
        self._ordered += 1
        return await self._client.create(GENERATION_JOB, quickstart.job(self.namespace, name, self._ordered, steps))

    async def complete(self, names: Collection[str], seconds: float) -> None:
        """Wait until these jobs are Complete. Raises BenchError when one has failed, TimeoutError."""
        await until(self.jobs, lambda: self.are_complete(names), seconds)

    def are_complete(self, names: Collection[str]) -> bool:
        """Whether these jobs are Complete now. Raises BenchError when one has failed."""
        states = {name: self.jobs.objects.get(name, {}).get("status", {}).get("state") for name in names}
        failed = [name for name, state in states.items() if state == "Failed"]
        if failed:
            raise BenchError(f"job {failed[0]} has failed")
        return set(states.values()) <= {"Complete"}

    def servers(self) -> dict[str, Obj]:
        """The server pods, by name."""
        return {
            name: pod
            for name, pod in self.pods.objects.items()
            if pod["metadata"].get("labels", {}).get(LABEL_COMPONENT) == COMPONENT_SERVER
        }


async def until(informer: Informer, done: Callable[[], bool], seconds: float) -> None:
    """Wait until that is true of what an informer has. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not done():
            await informer.changed()


@contextlib.asynccontextmanager
async def studio(pool: Mapping[str, int], step_seconds: float = 0.0) -> AsyncIterator[Studio]:
    """A namespace that is ready for jobs. Raises CommandError, as when there is no cluster."""
    cluster = current_cluster(ROOT)
    install(cluster)
    install_model_host(cluster)
    client = LightkubeClient.from_kubeconfig(cluster.kubeconfig, "bench")
    here = Studio(cluster, client)
    try:
        here.prepare(pool, step_seconds)
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(each.run()) for each in (here.jobs, here.pods)]
            try:
                yield here
            finally:
                for task in following:
                    task.cancel()
    finally:
        here.remove()
        await client.close()
