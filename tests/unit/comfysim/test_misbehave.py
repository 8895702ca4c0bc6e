from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from comfysim.misbehave import CRASH_STATUS, Misbehaviour
from comfysim.switches import Switches, parse_switches
from tests.unit.comfysim.harness import BOUND, Client, Run, Sim, running, sd15

if TYPE_CHECKING:
    from pathlib import Path

    from comfysim.json_types import Json


async def test_the_switches_can_be_read(client: Client) -> None:
    assert await client.misbehave(oom=2) == {**await client.get("/comfysim/misbehave")}
    assert (await client.misbehave())["oom"] == 0


@pytest.mark.parametrize("body", [{"unknown": 1}, {"oom": "x"}, {"oom": True}, []])
async def test_nonsense_is_refused(client: Client, body: Json) -> None:
    assert (await client.post("/comfysim/misbehave", body))[0] == 400


async def test_out_of_memory_is_torch_s_error(client: Client) -> None:
    await client.misbehave(oom=1)
    kind, data = (await client.run(sd15(seed=1))).last_message
    assert (kind, data["exception_type"], data["node_type"]) == (
        "execution_error",
        "torch.OutOfMemoryError",
        "KSampler",
    )
    assert data["exception_message"].startswith("CUDA out of memory. Tried to allocate")
    assert "TIPS: If the workflow worked before" in data["exception_message"]
    assert data["current_inputs"]["seed"] == [1]


async def test_it_fails_only_as_often_as_asked(client: Client) -> None:
    await client.misbehave(oom=1)
    await client.run(sd15(seed=2))
    assert (await client.run(sd15(seed=2))).last_message[0] == "execution_success"


async def test_large_pictures_can_run_out_of_memory(client: Client) -> None:
    await client.misbehave(oom_above=64)
    assert (await client.run(sd15(seed=3, size=64))).last_message[0] == "execution_success"
    assert (await client.run(sd15(seed=3, size=72))).last_message[0] == "execution_error"
    await client.misbehave()


async def test_a_node_error_has_the_asked_text(client: Client) -> None:
    await client.misbehave(error=1, error_text="no such luck")
    _, data = (await client.run(sd15(seed=4))).last_message
    assert (data["exception_message"], data["exception_type"]) == ("no such luck\n", "RuntimeError")


async def test_a_failed_node_stays_running_in_its_progress(client: Client) -> None:
    await client.misbehave(error=1)
    run = await client.run(sd15(seed=5))
    assert run.of("progress_state")[-1]["nodes"]["3"]["state"] == "running"


async def test_a_submission_can_be_refused(client: Client) -> None:
    await client.misbehave(refuse=1, refuse_type="invalid_prompt")
    status, answer = await client.post("/prompt", {"prompt": sd15()})
    assert (status, answer["error"]["type"]) == (400, "invalid_prompt")


async def test_an_entry_of_the_history_can_be_lost(client: Client) -> None:
    await client.misbehave(lose_history=1)
    assert (await client.run(sd15(seed=6))).history == {}


async def test_an_interrupt_can_be_lost_and_late(client: Client) -> None:
    await client.misbehave(lose_interrupts=1, interrupt_delay=0.05, step_seconds=0.02)
    prompt_id = await client.submit(sd15(seed=7, steps=2000))
    await client.started(prompt_id)
    await client.post("/interrupt")
    await client.started(prompt_id)
    await client.post("/interrupt")
    assert (await client.follow(prompt_id)).last_message[0] == "execution_interrupted"
    await client.misbehave()


async def test_the_record_tells_of_every_execution(client: Client) -> None:
    run = await client.run(sd15(seed=8, steps=3), extra_data={"job": "ns/name"})
    lines = (await client.get("/comfysim/record"))["record"]
    start, end = (line for line in lines if line["prompt_id"] == run.prompt_id)
    assert (start["event"], end["event"], end["outcome"], end["steps"]) == ("start", "end", "success", 3)
    assert (end["client_id"], end["extra_data"]["job"]) == (client.client_id, "ns/name")
    assert {"3", "8", "9"} <= set(end["nodes"])
    assert start["started"] <= end["ended"]


@pytest.mark.parametrize(
    ("switch", "outcome"),
    [
        ("oom", "execution_error"),
        ("oom-above=32", "execution_error"),
        ("oom-above=64", "execution_success"),
        ("error=as asked", "execution_error"),
        ("step=0.001", "execution_success"),
        ("unknown", "execution_success"),
    ],
)
async def test_a_prompt_can_carry_a_switch(client: Client, switch: str, outcome: str) -> None:
    run = await client.run(sd15(text=f"a cat [sim: {switch}] on a mat", seed=9))
    assert run.last_message[0] == outcome


async def test_a_once_switch_works_once(sim: Sim, client: Client) -> None:
    graph = sd15(text="[sim: once-oom] just once", seed=10)
    assert (await client.run(graph)).last_message[0] == "execution_error"
    assert (await client.run(graph)).last_message[0] == "execution_success"
    assert list((sim.base / "user").glob("comfysim-once-*"))


async def test_switches_in_prompts_are_ignored_unless_allowed(other: Sim) -> None:
    async with Client(other) as client:
        assert (await client.run(sd15(text="[sim: oom]"))).last_message[0] == "execution_success"


async def test_a_stuck_worker_ignores_interrupts(tmp_path: Path) -> None:
    with running(tmp_path, COMFYSIM_MISBEHAVE='{"stuck": 1}') as sim:
        async with Client(sim) as client:
            prompt_id = await client.submit(sd15())
            sim.wait_for_line("the worker hangs")
            await client.post("/interrupt", {"prompt_id": prompt_id})
            await client.submit(sd15())
            assert await client.get("/prompt") == {"exec_info": {"queue_remaining": 2}}
            assert [item[1] for item in (await client.get("/queue"))["queue_running"]] == [prompt_id]


async def test_a_dead_worker_leaves_a_server_that_answers(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    with running(tmp_path, COMFYSIM_MISBEHAVE='{"dead_worker": 1}', COMFYSIM_RECORD=str(record)) as sim:
        async with Client(sim) as client:
            prompt_id = await client.submit(sd15(), prompt_id="dead")
            await client.until(lambda f: f["type"] == "executing" and f["data"]["node"] == "3")
            lines: list[dict[str, Any]] = []
            while not lines or lines[-1]["event"] != "end":
                lines = (await client.get("/comfysim/record"))["record"]
            assert lines[-1]["outcome"] == "lost"
            assert [item[1] for item in (await client.get("/queue"))["queue_running"]] == [prompt_id]


async def test_what_kills_comfyui_s_worker_kills_this_one(tmp_path: Path) -> None:
    with running(tmp_path) as sim:
        async with Client(sim) as client:
            status, _ = await client.post("/prompt", {"prompt": sd15(), "extra_data": None})
            assert status == 200
            sim.wait_for_line("(prompt_worker)")
            assert await client.get("/prompt") == {"exec_info": {"queue_remaining": 1}}
            entries = (await client.get("/internal/logs/raw"))["entries"]
            assert any("(prompt_worker)" in entry["m"] for entry in entries)


@dataclass(frozen=True)
class Crashed:
    """What a crash and a restart looked like."""

    status: int
    history: dict[str, Any]
    run: Run
    record: list[dict[str, Any]]


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Crashed:
    """One graph, sent to a process that crashes at its second step and then to the process after it."""
    base = tmp_path_factory.mktemp("crashed")
    environ = {"COMFYSIM_RECORD": str(base / "record.jsonl"), "COMFYSIM_PROMPT_SWITCHES": "1"}
    graph = sd15(text="[sim: once-crash=2]", steps=3)

    async def crash(sim: Sim) -> int:
        async with Client(sim) as client:
            await client.submit(graph)
        return sim.process.wait(BOUND)

    async def again(sim: Sim, status: int) -> Crashed:
        async with Client(sim) as client:
            history = await client.get("/history")
            run = await client.run(graph)
            return Crashed(status, history, run, (await client.get("/comfysim/record"))["record"])

    with running(base, **environ) as sim:
        status = asyncio.run(crash(sim))
    with running(base, **environ) as sim:
        return asyncio.run(again(sim, status))


def test_a_crash_ends_the_process(crashed: Crashed) -> None:
    assert crashed.status == CRASH_STATUS


def test_a_once_crash_does_not_come_again_after_the_restart(crashed: Crashed) -> None:
    assert crashed.run.last_message[0] == "execution_success"


def test_the_record_survives_a_crash(crashed: Crashed) -> None:
    assert [line["event"] for line in crashed.record] == ["start", "start", "end"]
    assert len({line["boot"] for line in crashed.record}) == 2


def test_a_restart_forgets_history_and_numbers(crashed: Crashed) -> None:
    assert (crashed.history, crashed.run.history["prompt"][0]) == ({}, 0)


def misbehaviour(tmp_path: Path, file: Path | None = None, *, prompts: bool = True) -> Misbehaviour:
    return Misbehaviour({"error": 1}, file, tmp_path, prompt_switches=prompts)


def test_a_file_switches_too_and_is_not_applied_twice(tmp_path: Path) -> None:
    file = tmp_path / "switches.json"
    switches = misbehaviour(tmp_path, file)
    file.write_text('{"oom": 1}')
    switches.read_file()
    assert switches.take("oom")
    switches.read_file()
    assert not switches.take("oom")


def test_without_its_file_the_switches_are_those_of_the_start(tmp_path: Path) -> None:
    file = tmp_path / "switches.json"
    switches = misbehaviour(tmp_path, file)
    file.write_text(json.dumps({"error": 0, "stuck": 3}))
    switches.read_file()
    assert switches.as_dict()["error"] == 0
    file.unlink()
    switches.read_file()
    assert (switches.as_dict()["error"], switches.as_dict()["stuck"]) == (1, 0)


def test_a_file_that_is_no_json_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "switches.json"
    file.write_text("{")
    switches = misbehaviour(tmp_path, file)
    switches.read_file()
    assert switches.as_dict()["error"] == 1


def test_minus_one_has_no_end(tmp_path: Path) -> None:
    switches = misbehaviour(tmp_path)
    switches.update({"oom": -1})
    assert [switches.take("oom") for _ in range(3)] == [True] * 3


@pytest.mark.parametrize(("text", "pixels"), [("1024", 1024**2), ("512x768", 512 * 768), ("700000", 700_000)])
def test_a_limit_is_an_edge_a_size_or_pixels(tmp_path: Path, text: str, pixels: int) -> None:
    switches = misbehaviour(tmp_path)
    switches.update({"error": 0})
    switches.strike(f"[sim: oom-above={text}]", 1, (pixels, 1, 1), 1)
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        switches.strike(f"[sim: oom-above={text}]", 1, (pixels + 1, 1, 1), 1)


def test_parse_switches_keeps_the_rest() -> None:
    assert parse_switches(Switches(oom=3), {"step_seconds": 2}) == Switches(oom=3, step_seconds=2.0)
