"""`comfyard store`, as a person runs it, with what a sync has left."""

import asyncio
import json
import os
import sys

import pytest

from hack.cluster.control_plane import ControlPlane
from tests.api.sync.harness import CLAIM, PATH, Bundles, Running, model
from tests.unit.store.source_server import Source, safetensors

pytestmark = pytest.mark.api


async def comfyard(plane: ControlPlane, *arguments: str) -> tuple[int, str, str]:
    """Exit code and what was said, on either stream."""
    env = {**os.environ, "KUBECONFIG": str(plane.kubeconfig), "COLUMNS": "100"}
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "comfyard", *arguments)
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_what_is_on_a_claim(
    source: Source, bundles: Bundles, program: Running, control_plane: ControlPlane
) -> None:
    content = safetensors(1_000_000)
    await bundles.put("b", [model(source.serve("x", content), content)])
    (program.directory / "loras").mkdir()
    (program.directory / "loras/mine.safetensors").write_bytes(b"12345")
    code, _, said = await comfyard(control_plane, "store", "-n", bundles.namespace)
    assert (code, said) == (1, "comfyard: nothing is known of models yet: the store sync tells when it is done\n")
    assert await program.start() == 0
    code, said, _ = await comfyard(control_plane, "store", CLAIM, "-n", bundles.namespace)
    assert code == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "checkpoints 1, 1.0 MB - -" in lines
    assert "loras - - 1, 5 bytes" in lines
    assert "loras/mine.safetensors 5 bytes Unknown" in lines
    code, said, _ = await comfyard(control_plane, "store", "-n", bundles.namespace, "-o", "json")
    [told] = json.loads(said)
    assert (told["claim"], told["files"][0]["path"]) == (CLAIM, "loras/mine.safetensors")
    assert PATH not in said


async def test_what_is_not_there_is_said(bundles: Bundles, control_plane: ControlPlane) -> None:
    where = bundles.namespace
    code, _, said = await comfyard(control_plane, "store", "nothing", "-n", where)
    assert (code, said) == (1, f"comfyard: there is no PersistentVolumeClaim nothing in namespace {where}\n")
    code, _, said = await comfyard(control_plane, "store", "-n", where)
    assert (code, said) == (1, f"comfyard: no ModelBundle in namespace {where} uses a claim\n")
