"""A job that is applied again and again by several tools, under an operator that is killed: rendered once."""

import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import GENERATION_JOB
from comfyard.workflow.prompts import prompt_id
from hack.cluster.control_plane import ControlPlane
from tests.api.conftest import Studio
from tests.conftest import Kubectl
from tests.unit.agent.harness import Agent, kubeconfig_for
from tests.unit.comfysim.harness import Sim, running

pytestmark = pytest.mark.api

TIMES = 1000
RESTARTS = 4
MOST_BYTES = 4000
"""Of a finished job, as kubectl shows it: etcd holds tens of thousands of them."""
TOOLS = ("kubectl", "argocd-controller")
"""Field managers: each owns what it applies, so that neither takes the other's fields for its own."""


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Sim]:
    """A stand-in ComfyUI, slow enough to be rendering while the operator is killed."""
    base = tmp_path / "comfyui"
    base.mkdir()
    with running(base, COMFYSIM_STEP_SECONDS="0.5") as server:
        yield server


@pytest.fixture
async def tools(control_plane: ControlPlane) -> AsyncIterator[list[LightkubeClient]]:
    """What applies the job, each under a name of its own."""
    clients = [LightkubeClient.from_kubeconfig(control_plane.kubeconfig, name) for name in TOOLS]
    yield clients
    for client in clients:
        await client.close()


@contextmanager
def agent_of(studio: Studio, pod: str, plane: ControlPlane, sim: Sim, folder: Path) -> Iterator[None]:
    """The agent of a server pod, with the identity and the rights that the operator has given it."""
    kubeconfig = kubeconfig_for(plane, Kubectl(plane.kubeconfig), studio.namespace, folder)
    agent = Agent(folder, kubeconfig, studio.namespace, sim.url, sim.base)
    agent.start(SERVER=pod, RESULTS_CLAIM="comfyard-results")
    try:
        yield
    finally:
        agent.close()


async def apply(tools: list[LightkubeClient], namespace: str, spec: dict[str, Any], number: int) -> str:
    """One more time, by the next tool; returns the uid."""
    manifest = {"metadata": {"name": "lighthouse", "namespace": namespace}, "spec": spec}
    applied = await tools[number % len(tools)].apply(GENERATION_JOB, manifest)
    return str(applied["metadata"]["uid"])


async def executions(sim: Sim) -> list[str]:
    """Ids of the prompts that ComfyUI began."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        record = (await http.get(f"{sim.url}/comfysim/record")).json()["record"]
    return [line["prompt_id"] for line in record if line["event"] == "start"]


async def test_a_job_that_is_applied_a_thousand_times_is_rendered_once(
    studio: Studio, tools: list[LightkubeClient], control_plane: ControlPlane, sim: Sim, tmp_path: Path
) -> None:
    studio.prepare(max_servers=1)
    spec = {
        "template": {"name": "text-to-image"},
        "profiles": [studio.profile],
        "parameters": {"prompt": "a lighthouse", "steps": 20},
    }
    complete: dict[str, Any] = {}
    uid = await apply(tools, studio.namespace, spec, 0)
    [pod] = studio.wait_servers(1)
    with agent_of(studio, pod.removeprefix("pod/"), control_plane, sim, tmp_path):
        studio.server_is_ready(pod)
        for number in range(1, TIMES):
            assert await apply(tools, studio.namespace, spec, number) == uid
            if number % (TIMES // (RESTARTS + 1)) == 0:
                studio.operator.stop(signal.SIGKILL)
                studio.operator.start()
            if number == TIMES // 2:
                studio.wait("cgj/lighthouse", ".status.state", "Complete")
                complete = studio.get("cgj", "lighthouse")
    job = studio.get("cgj", "lighthouse")
    assert (job["metadata"]["uid"], job["status"]) == (uid, complete["status"])
    assert [attempt["outcome"] for attempt in job["status"]["attempts"]] == ["Succeeded"]
    assert len(json.dumps(job)) < MOST_BYTES
    assert await executions(sim) == [prompt_id(uid, 0, 0)]
