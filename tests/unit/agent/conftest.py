from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from comfyard.kube.client import LightkubeClient
from hack.cluster.control_plane import ControlPlane
from tests.conftest import Kubectl
from tests.unit.agent.harness import Agent, Studio, give_access, kubeconfig_for, opened
from tests.unit.comfysim.harness import Sim, running


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Sim]:
    """A stand-in ComfyUI; prompts may tell it to misbehave."""
    base = tmp_path / "comfyui"
    base.mkdir()
    with running(base, COMFYSIM_STEP_SECONDS="0.02", COMFYSIM_PROMPT_SWITCHES="1") as server:
        yield server


@pytest.fixture
async def agent(
    tmp_path: Path, control_plane: ControlPlane, kube: LightkubeClient, kubectl: Kubectl, namespace: str, sim: Sim
) -> AsyncIterator[Agent]:
    """An agent that is not started yet, with the rights that the operator gives it."""
    await give_access(kube, namespace)
    kubeconfig = kubeconfig_for(control_plane, kubectl, namespace, tmp_path)
    agent = Agent(tmp_path, kubeconfig, namespace, sim.url, sim.base)
    yield agent
    agent.close()


@pytest.fixture
async def studio(kube: LightkubeClient, namespace: str, agent: Agent, sim: Sim) -> AsyncIterator[Studio]:
    async with opened(Studio(kube, namespace, agent, sim)) as open_studio:
        yield open_studio
