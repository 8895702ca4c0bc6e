from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING

import pytest

from comfysim.prompt_queue import MAXIMUM_HISTORY_SIZE, ExecutionStatus, PromptQueue
from tests.unit.comfysim.harness import BOUND, Client, Sim, running, sd15

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = itertools.count(2000)


@pytest.fixture
async def busy(client: Client) -> str:
    """The id of a prompt that runs until it is interrupted."""
    await client.misbehave(step_seconds=0.05)
    prompt_id = await client.submit(sd15(seed=next(SEEDS), steps=500))
    await client.started(prompt_id)
    await client.misbehave()
    return prompt_id


async def stop(client: Client, prompt_id: str) -> None:
    await client.post("/interrupt", {"prompt_id": prompt_id})
    await client.follow(prompt_id)


async def test_a_running_and_a_pending_item_are_shown_whole(client: Client, busy: str) -> None:
    graph = sd15(seed=next(SEEDS))
    waiting = await client.submit(graph, extra_data={"job": "a"})
    queue = await client.get("/queue")
    assert [item[1] for item in queue["queue_running"]] == [busy]
    number, prompt_id, shown, extra_data, outputs = queue["queue_pending"][0]
    assert (prompt_id, shown, outputs) == (waiting, graph, ["9"])
    assert extra_data == {"job": "a", "client_id": client.client_id}
    assert number > queue["queue_running"][0][0]
    assert await client.get("/prompt") == {"exec_info": {"queue_remaining": 2}}
    await client.post("/queue", {"clear": True})
    await stop(client, busy)


async def test_prompts_run_in_the_order_of_their_numbers(client: Client, busy: str) -> None:
    numbers = {"late": 3, "early": -7.5, "middle": "1"}
    for name, number in numbers.items():
        await client.submit(sd15(seed=next(SEEDS)), prompt_id=name, number=number)
    await client.post("/interrupt", {"prompt_id": busy})
    await client.follow("late")
    assert list(await client.get("/history?max_items=3")) == ["early", "middle", "late"]


async def test_front_goes_before_what_waits(client: Client, busy: str) -> None:
    await client.submit(sd15(seed=next(SEEDS)), prompt_id="waits")
    await client.submit(sd15(seed=next(SEEDS)), prompt_id="front", front=True)
    await client.post("/interrupt", {"prompt_id": busy})
    await client.follow("waits")
    assert list(await client.get("/history?max_items=2")) == ["front", "waits"]


async def test_a_pending_prompt_can_be_deleted(client: Client, busy: str) -> None:
    waiting = await client.submit(sd15(seed=next(SEEDS)))
    assert await client.post("/queue", {"delete": [waiting, "unknown"]}) == (200, "")
    assert (await client.get("/queue"))["queue_pending"] == []
    assert await client.get(f"/history/{waiting}") == {}
    await stop(client, busy)


async def test_a_running_prompt_cannot_be_deleted(client: Client, busy: str) -> None:
    assert await client.post("/queue", {"delete": [busy]}) == (200, "")
    assert [item[1] for item in (await client.get("/queue"))["queue_running"]] == [busy]
    await stop(client, busy)


async def test_a_string_instead_of_a_list_deletes_nothing(client: Client, busy: str) -> None:
    waiting = await client.submit(sd15(seed=next(SEEDS)))
    await client.post("/queue", {"delete": waiting})
    assert len((await client.get("/queue"))["queue_pending"]) == 1
    await client.post("/queue", {"clear": True})
    await stop(client, busy)


async def test_an_interrupted_prompt_is_an_error_that_was_interrupted(client: Client, busy: str) -> None:
    await client.post("/interrupt", {"prompt_id": busy})
    run = await client.follow(busy)
    kind, data = run.last_message
    assert run.history["status"]["status_str"] == "error"
    assert run.history["status"]["completed"] is False
    assert (kind, data["node_id"], data["node_type"]) == ("execution_interrupted", "3", "KSampler")
    assert set(data["executed"]) <= {"4", "5", "6", "7"}


async def test_an_interrupt_for_another_id_does_nothing(client: Client, busy: str) -> None:
    assert await client.post("/interrupt", {"prompt_id": "another"}) == (200, "")
    await client.started(busy)
    await stop(client, busy)


async def test_an_interrupt_without_an_id_hits_whatever_runs(client: Client, busy: str) -> None:
    await client.post("/interrupt")
    assert (await client.follow(busy)).last_message[0] == "execution_interrupted"


async def test_an_interrupt_before_the_run_is_forgotten_at_its_start(client: Client) -> None:
    await client.post("/interrupt")
    assert (await client.run(sd15(seed=next(SEEDS)))).history["status"]["status_str"] == "success"


async def test_two_prompts_of_one_id_both_run(client: Client) -> None:
    await client.submit(sd15(seed=next(SEEDS)), prompt_id="same")
    await client.submit(sd15(seed=next(SEEDS)), prompt_id="same")
    await client.run(sd15(seed=next(SEEDS)))
    lines = (await client.get("/comfysim/record"))["record"]
    assert [line["event"] for line in lines if line["prompt_id"] == "same"] == ["start", "end"] * 2


async def test_an_id_is_made_a_string(client: Client) -> None:
    assert await client.submit(sd15(seed=next(SEEDS)), prompt_id=None) == "None"


async def test_the_history_keeps_the_converted_graph(client: Client) -> None:
    run = await client.run(sd15(seed="77", steps="2"))
    assert run.history["prompt"][2]["3"]["inputs"]["seed"] == 77


async def test_a_result_is_in_the_history_before_the_worker_is_done_with_it(client: Client) -> None:
    for _ in range(5):
        assert (await client.run(sd15(seed=next(SEEDS)))).history


async def test_secrets_are_kept_out_of_the_history(client: Client) -> None:
    run = await client.run(sd15(seed=next(SEEDS)), extra_data={"api_key_comfy_org": "key"})
    assert "api_key_comfy_org" not in run.history["prompt"][3]


async def test_an_unknown_id_has_an_empty_history(client: Client) -> None:
    assert await client.get("/history/unknown") == {}


async def test_entries_can_be_deleted_and_cleared(client: Client) -> None:
    first = await client.run(sd15(seed=next(SEEDS)))
    await client.post("/history", {"delete": [first.prompt_id]})
    assert await client.get(f"/history/{first.prompt_id}") == {}
    await client.run(sd15(seed=next(SEEDS)))
    await client.post("/history", {"clear": True})
    assert await client.get("/history") == {}


async def test_the_history_can_be_read_in_parts(client: Client) -> None:
    await client.post("/history", {"clear": True})
    for name in "abcd":
        await client.run(sd15(seed=next(SEEDS)), prompt_id=name)
    assert list(await client.get("/history?max_items=2")) == ["c", "d"]
    assert list(await client.get("/history?max_items=2&offset=1")) == ["b", "c"]


def test_the_oldest_entries_of_a_long_history_are_dropped() -> None:
    queue = PromptQueue(lambda: None)
    for number in range(MAXIMUM_HISTORY_SIZE + 5):
        queue.put((number, str(number), {}, {}, []))
        taken = queue.get()
        assert taken is not None
        queue.task_done(taken[1], {}, ExecutionStatus("success", completed=True, messages=[]))
    entries = queue.get_history()
    assert (len(entries), next(iter(entries))) == (MAXIMUM_HISTORY_SIZE + 1, "4")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/prompt", b""),
        ("/prompt", b"{"),
        ("/prompt", b"[]"),
        ("/prompt", b'{"prompt": [1]}'),
        ("/prompt", b'{"prompt": {}, "number": "x"}'),
        ("/queue", b"nonsense"),
        ("/free", b""),
        ("/interrupt", b"[]"),
    ],
)
async def test_what_is_not_understood_is_a_plain_500(client: Client, path: str, body: bytes) -> None:
    async with client.session.post(path, data=body) as response:
        assert (response.status, response.content_type) == (500, "text/plain")


async def test_a_body_without_a_prompt_is_refused(client: Client) -> None:
    status, answer = await client.post("/prompt", {})
    assert (status, answer["error"]["type"], answer["node_errors"]) == (400, "no_prompt", {})


async def test_a_refused_prompt_is_not_queued(client: Client) -> None:
    status, answer = await client.post("/prompt", {"prompt": sd15(steps=0)})
    assert (status, answer["node_errors"]["3"]["class_type"]) == (400, "KSampler")
    assert await client.get("/prompt") == {"exec_info": {"queue_remaining": 0}}


async def test_an_unserialisable_queue_number_is_echoed(client: Client) -> None:
    async with client.session.post("/prompt", data=json.dumps({"prompt": sd15(), "number": float("nan")})) as response:
        assert '"number": NaN' in await response.text()


async def test_a_thousand_prompts_and_many_sockets(sim: Sim, client: Client, busy: str) -> None:
    others = [await client.session.ws_connect(f"/ws?clientId=other{n}") for n in range(30)]
    graph = sd15()
    for _ in range(1000):
        async with client.session.post(f"{sim.url}/prompt", json={"prompt": graph}) as response:
            assert response.status == 200
    assert await client.get("/prompt") == {"exec_info": {"queue_remaining": 1001}}
    await client.post("/queue", {"clear": True})
    await stop(client, busy)
    await asyncio.gather(*(other.close() for other in others))


async def test_equal_numbers_and_ids_answer_500_and_are_queued_all_the_same(client: Client, busy: str) -> None:
    await client.submit(sd15(seed=next(SEEDS)), prompt_id="twin", number=5)
    status, _ = await client.post("/prompt", {"prompt": sd15(), "prompt_id": "twin", "number": 5})
    assert status == 500
    assert len((await client.get("/queue"))["queue_pending"]) == 2
    await client.post("/queue", {"clear": True})
    await stop(client, busy)


async def test_a_client_id_that_is_no_string_ends_the_process(tmp_path: Path) -> None:
    with running(tmp_path) as sim:
        async with Client(sim) as client:
            await client.submit(sd15(), client_id={"an": "object"})
        assert sim.process.wait(BOUND) == 1
