"""A claim that is full, and has room again."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfyard.controller.resources.access import SYNC
from comfyard.kube.client import LightkubeClient
from tests.api.sync.harness import PATH, Bundles, Running, model
from tests.unit.store.downloads import tmpfs
from tests.unit.store.source_server import Source, safetensors

pytestmark = pytest.mark.api

MIB = 1024 * 1024


@pytest.fixture
async def small(tmp_path: Path, kubeconfig: Path, namespace: str) -> AsyncIterator[Running]:
    """The program on a volume of 80 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs")
    client = LightkubeClient.from_kubeconfig(kubeconfig, SYNC)
    with tmpfs(tmp_path / "models", "80m") as volume:
        made = Running(client, namespace, volume)
        yield made
        await made.end()
    await client.close()


async def test_what_does_not_fit_waits_for_what_goes(source: Source, bundles: Bundles, small: Running) -> None:
    old, new = safetensors(30 * MIB), safetensors(30 * MIB, seed=1)
    await bundles.put("old", [model(source.serve("old", old), old, "loras/old.safetensors")], deletionPolicy="Delete")
    assert await small.start() == 0
    await bundles.put("new", [model(source.serve("new", new), new)])
    task = small.start()
    row = await bundles.until_row("new", state="Failed", reason="NoSpace")
    assert "enlarge the claim by 13 MB or remove models from it" in row["message"]
    await bundles.remove("old")
    await bundles.observe("old")
    assert await task == 0
    assert (small.directory / PATH).read_bytes() == new
    assert await bundles.states("new") == [("Ready", "")]
    assert await bundles.events("new") == []
