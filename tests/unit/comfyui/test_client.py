"""The client on a real stand-in, and its events."""

import asyncio

import pytest

from comfyard.comfyui.client import ComfyClient
from comfyard.comfyui.errors import RefusedError, UnreachableError
from tests.unit.comfyui.conftest import SECONDS, Comfy, picture


async def test_it_knows_what_the_server_has(comfy: Comfy) -> None:
    assert await comfy.client.object_info("KSampler")
    assert await comfy.client.object_info("NoSuchClass") is None


async def test_it_reads_what_the_server_is(comfy: Comfy) -> None:
    about = await comfy.client.about()
    assert about.version == "0.3.64"
    assert about.device.startswith("cuda:0 ")
    assert await comfy.client.queue_remaining() == 0


async def test_free_is_taken(comfy: Comfy) -> None:
    await comfy.client.free()


async def test_what_is_not_json_is_refused_here(comfy: Comfy) -> None:
    prompt = picture()
    prompt.graph["3"]["inputs"]["cfg"] = float("nan")
    with pytest.raises(RefusedError, match="cannot be written as JSON"):
        await comfy.client.submit(prompt.id, prompt.graph)


async def test_nobody_on_the_port_means_gone() -> None:
    client = ComfyClient("http://127.0.0.1:1", "me")
    with pytest.raises(UnreachableError) as caught:
        await client.queue()
    assert caught.value.gone
    await client.close()


async def test_the_end_of_the_server_ends_the_feed(doomed: Comfy) -> None:
    assert doomed.feed.connected
    doomed.sim.end()
    async with asyncio.timeout(SECONDS):
        while doomed.feed.connected:
            await doomed.feed.nudged(1)
