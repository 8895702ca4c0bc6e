from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from comfyard.controller.resources.access import SYNC
from comfyard.kube.client import LightkubeClient
from hack.cluster.control_plane import ControlPlane
from tests.api.sync.harness import Bundles, Running, give_access, make_claim
from tests.conftest import Kubectl
from tests.unit.agent.harness import Cable, kubeconfig_for
from tests.unit.store.source_server import Source, running


@pytest.fixture
def source() -> Iterator[Source]:
    with running() as server:
        yield server


@pytest.fixture
async def bundles(kube: LightkubeClient, namespace: str, control_plane: ControlPlane) -> AsyncIterator[Bundles]:
    async with Bundles(kube, namespace, control_plane.audit_log).followed() as made:
        yield made


@pytest.fixture
async def cable(control_plane: ControlPlane) -> AsyncIterator[Cable]:
    """What the program, and nobody else, talks to the API server by."""
    made = Cable(int(control_plane.server.rpartition(":")[2]))
    await made.plug()
    yield made
    made.pull()


@pytest.fixture
async def kubeconfig(
    tmp_path: Path, kube: LightkubeClient, kubectl: Kubectl, control_plane: ControlPlane, cable: Cable, namespace: str
) -> Path:
    """The sync's own identity, with the rights that the operator gives it."""
    await give_access(kube, namespace, ["huggingface"])
    await make_claim(kube, namespace)
    path = kubeconfig_for(control_plane, kubectl, namespace, tmp_path, SYNC)
    path.write_text(path.read_text().replace(control_plane.server, f"https://127.0.0.1:{cable.port}"))
    return path


@pytest.fixture
async def program(tmp_path: Path, kubeconfig: Path, namespace: str) -> AsyncIterator[Running]:
    client = LightkubeClient.from_kubeconfig(kubeconfig, SYNC)
    directory = tmp_path / "models"
    directory.mkdir()
    made = Running(client, namespace, directory)
    yield made
    await made.end()
    await client.close()
