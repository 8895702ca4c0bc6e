from __future__ import annotations

import io
import itertools
import json
import struct

import aiohttp
from PIL import Image

from tests.unit.comfysim.harness import Client, Sim, sd15

SEEDS = itertools.count(1000)


async def test_the_first_frame_is_the_status_with_the_own_id(client: Client) -> None:
    data = client.hello["data"]
    assert (client.hello["type"], data["sid"]) == ("status", client.client_id)
    assert data["status"] == {"exec_info": {"queue_remaining": 0}}


async def test_a_client_without_an_id_is_given_one(sim: Sim, client: Client) -> None:
    async with client.session.ws_connect(f"{sim.url}/ws") as socket:
        frame = await socket.receive_json()
    assert len(frame["data"]["sid"]) == 32


async def test_a_run_is_told_in_comfyui_s_order(client: Client) -> None:
    run = await client.run(sd15(seed=next(SEEDS)))
    assert run.order[:4] == ["status", "status", "execution_start", "execution_cached"]
    assert run.order[-3:] == ["execution_success", "status", "executing"]


async def test_a_node_starts_with_its_progress_state(client: Client) -> None:
    await client.free(free_memory=True)
    run = await client.run(sd15(seed=next(SEEDS)))
    first = run.order.index("execution_cached") + 1
    assert run.order[first : first + 3] == ["progress_state", "executing", "progress_state"]
    assert run.frames[first]["data"]["nodes"]["4"]["state"] == "running"
    assert run.frames[first + 2]["data"]["nodes"]["4"] == {
        "value": 1,
        "max": 1,
        "state": "finished",
        "node_id": "4",
        "prompt_id": run.prompt_id,
        "display_node_id": "4",
        "parent_node_id": None,
        "real_node_id": "4",
    }


async def test_every_sampler_step_is_told_with_the_node(client: Client) -> None:
    run = await client.run(sd15(seed=next(SEEDS), steps=3))
    assert run.of("progress") == [
        {"value": value, "max": 3, "prompt_id": run.prompt_id, "node": "3"} for value in (1, 2, 3)
    ]


async def test_nodes_run_after_what_they_need(client: Client) -> None:
    await client.free(free_memory=True)
    run = await client.run(sd15(text="in order", seed=next(SEEDS)))
    order = [data["node"] for data in run.of("executing")]
    assert order.index("4") < order.index("6") < order.index("3") < order.index("8") < order.index("9")


async def test_executed_names_the_files(client: Client) -> None:
    run = await client.run(sd15(seed=next(SEEDS)))
    (data,) = run.of("executed")
    assert data["output"] == {"images": [{"filename": run.files()[0], "subfolder": "test", "type": "output"}]}


async def test_the_history_keeps_the_three_messages(client: Client) -> None:
    run = await client.run(sd15(seed=next(SEEDS)))
    kinds = [kind for kind, _ in run.history["status"]["messages"]]
    assert kinds == ["execution_start", "execution_cached", "execution_success"]


async def test_only_the_sender_is_told_of_its_run(sim: Sim, client: Client) -> None:
    async with Client(sim) as other:
        await other.run(sd15(seed=next(SEEDS)))
        run = await client.run(sd15(seed=next(SEEDS)))
    assert {data["prompt_id"] for data in run.of("execution_start")} == {run.prompt_id}


async def test_without_a_client_id_only_progress_is_told_and_to_everybody(client: Client) -> None:
    status, answer = await client.post("/prompt", {"prompt": sd15(seed=next(SEEDS))})
    assert status == 200
    run = await client.run(sd15(seed=next(SEEDS)))
    mine = [f["type"] for f in run.frames if f["data"].get("prompt_id") == answer["prompt_id"]]
    assert set(mine) == {"progress_state", "progress"}


async def test_a_client_that_connects_during_its_run_is_told_the_node(sim: Sim, client: Client) -> None:
    await client.misbehave(step_seconds=0.2)
    prompt_id = await client.submit(sd15(seed=next(SEEDS), steps=20))
    await client.started(prompt_id)
    async with Client(sim, client.client_id) as again:
        assert await again.frame() == {"type": "executing", "data": {"node": "3"}}
        await client.post("/interrupt")
        await again.follow(prompt_id)
    await client.misbehave()


async def test_when_an_older_socket_of_the_same_id_closes_the_newer_one_hears_nothing(client: Client) -> None:
    older = await client.session.ws_connect("/ws?clientId=twin")
    newer = await client.session.ws_connect("/ws?clientId=twin", autoping=False)
    assert (await newer.receive_json())["type"] == "status"
    await older.close()
    await client.run(sd15(seed=next(SEEDS)))
    _, answer = await client.post("/prompt", {"prompt": sd15(seed=next(SEEDS)), "client_id": "twin"})
    await client.run(sd15(seed=next(SEEDS)))
    assert answer["prompt_id"] in await client.get("/history")
    await newer.ping()
    assert (await newer.receive()).type == aiohttp.WSMsgType.PONG
    await newer.close()


async def test_no_previews_unless_asked_for(client: Client) -> None:
    assert (await client.run(sd15(seed=next(SEEDS)))).previews == []


async def test_a_plain_preview_comes_after_the_progress(other: Sim) -> None:
    async with Client(other) as client:
        run = await client.run(sd15(seed=next(SEEDS), steps=1))
    at = run.order.index("preview")
    assert run.order[at - 2 : at + 1] == ["progress_state", "progress", "preview"]
    event, form = struct.unpack(">II", run.previews[0][:8])
    assert (event, form) == (1, 1)
    assert Image.open(io.BytesIO(run.previews[0][8:])).format == "JPEG"


async def test_a_negotiated_preview_carries_its_node_and_comes_before_the_progress(other: Sim) -> None:
    async with Client(other, flags={"supports_preview_metadata": True}) as client:
        assert client.answer["data"] == {"supports_preview_metadata": True, "max_upload_size": 10486}
        run = await client.run(sd15(seed=next(SEEDS), steps=1))
    at = run.order.index("preview")
    assert run.order[at - 1 : at + 2] == ["progress_state", "preview", "progress"]
    event, length = struct.unpack(">II", run.previews[0][:8])
    metadata = json.loads(run.previews[0][8 : 8 + length])
    assert (event, metadata["node_id"], metadata["prompt_id"]) == (4, "3", run.prompt_id)
    assert metadata["image_type"] == "image/jpeg"
    assert Image.open(io.BytesIO(run.previews[0][8 + length :])).size == (512, 512)
