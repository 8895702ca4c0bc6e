"""Prompts on a real stand-in: what becomes of them when all is well, and when it is not."""

import asyncio
import time
from dataclasses import replace

import httpx2

from comfyard.comfyui.answers import OutputValue
from comfyard.comfyui.execution import Limits, Success
from comfyard.comfyui.failure import Failure
from comfyard.comfyui.stopping import stop
from tests.unit.comfysim.harness import node
from tests.unit.comfyui.conftest import SECONDS, Comfy, Prompt, picture


def failure(outcomes: list[Success | Failure]) -> Failure:
    last = outcomes[-1]
    assert isinstance(last, Failure), last
    return last


async def test_each_prompt_ends_with_its_files(comfy: Comfy) -> None:
    first, second = picture(seed=1), picture(seed=2)
    outcomes = await comfy.run(first, second)
    assert [outcome.prompt_id for outcome in outcomes] == [first.id, second.id]
    for outcome in outcomes:
        assert isinstance(outcome, Success)
        [file] = outcome.files["9"]
        assert (comfy.sim.output / file.subfolder / file.filename).stat().st_size > 0


async def test_prompts_run_in_the_order_they_are_given_in(comfy: Comfy) -> None:
    prompts = [picture(seed=seed) for seed in range(6)]
    await comfy.run(*prompts)
    ours = {prompt.id for prompt in prompts}
    assert [found for found in await comfy.executions() if found in ours] == [prompt.id for prompt in prompts]


async def test_all_are_queued_before_the_first_has_ended(comfy: Comfy) -> None:
    prompts = [picture("[sim: step=0.2]", seed=seed, steps=5) for seed in range(3)]
    running = asyncio.create_task(comfy.run(*prompts))
    await comfy.until_running(prompts[0])
    queue = await comfy.client.queue()
    assert (queue.running, queue.pending) == ((prompts[0].id,), (prompts[1].id, prompts[2].id))
    await running


async def test_a_seed_of_64_bits_arrives_exactly(comfy: Comfy) -> None:
    prompt = picture()
    prompt.graph["3"]["inputs"]["seed"] = "18446744073709551615"
    await comfy.run(prompt)
    async with httpx2.AsyncClient(base_url=comfy.sim.url, trust_env=False) as http:
        entry = (await http.get(f"/history/{prompt.id}")).json()[prompt.id]
    assert entry["prompt"][2]["3"]["inputs"]["seed"] == 18446744073709551615


async def test_who_comes_back_while_it_runs_waits_for_it(comfy: Comfy) -> None:
    prompt = picture("[sim: step=0.2]", steps=5)
    before = asyncio.create_task(comfy.run(prompt))
    await comfy.until_running(prompt)
    before.cancel()
    [outcome] = await comfy.run(prompt)
    assert isinstance(outcome, Success)
    assert (await comfy.executions()).count(prompt.id) == 1


async def test_who_comes_back_after_its_end_takes_what_is_there(comfy: Comfy) -> None:
    prompt = picture()
    first = await comfy.run(prompt)
    assert await comfy.run(prompt) == first
    assert (await comfy.executions()).count(prompt.id) == 1


async def test_who_comes_back_submits_only_what_is_missing(comfy: Comfy) -> None:
    done, missing = picture(seed=1), picture(seed=2)
    await comfy.run(done)
    outcomes = await comfy.run(done, missing)
    assert [type(outcome) for outcome in outcomes] == [Success, Success]
    executions = await comfy.executions()
    assert (executions.count(done.id), executions.count(missing.id)) == (1, 1)


async def test_a_missing_model_is_invalid_and_says_which(comfy: Comfy) -> None:
    prompt = picture()
    prompt.graph["4"]["inputs"]["ckpt_name"] = "absent.safetensors"
    found = failure(await comfy.run(prompt))
    assert found.failure_class == "Invalid"
    assert "node 4 (CheckpointLoaderSimple), input ckpt_name: Value not in list: 'absent.safetensors'" in found.message


async def test_an_unknown_class_is_invalid_and_points_to_the_image(comfy: Comfy) -> None:
    found = failure(await comfy.run(Prompt({"9": node("FluxCapacitor")})))
    assert found.failure_class == "Invalid"
    assert "node FluxCapacitor does not exist" in found.message
    assert "the server's image must have the custom node" in found.message


async def test_a_graph_that_is_half_right_is_invalid(comfy: Comfy) -> None:
    prompt = picture()
    prompt.graph["10"] = node("SaveImage", images=["8", 0], filename_prefix=5, missing=1)
    del prompt.graph["10"]["inputs"]["images"]
    found = failure(await comfy.run(prompt))
    assert found.failure_class == "Invalid"
    assert "node 10 (SaveImage), input images: Required input is missing" in found.message
    assert await stop(comfy.client, comfy.feed, [prompt.id], SECONDS)


async def test_a_refused_second_prompt_ends_the_list(comfy: Comfy) -> None:
    right, wrong = picture(), picture()
    wrong.graph["5"]["inputs"]["width"] = 1
    found = failure(await comfy.run(right, wrong))
    assert (found.prompt_id, found.failure_class) == (wrong.id, "Invalid")
    assert "node 5 (EmptyLatentImage), input width" in found.message
    assert await stop(comfy.client, comfy.feed, [right.id], SECONDS)


async def test_out_of_memory_has_a_class_of_its_own(comfy: Comfy) -> None:
    found = failure(await comfy.run(picture("a cathedral [sim: oom]")))
    assert found.failure_class == "OutOfVRAM"
    assert found.message.startswith("node 3 (KSampler): torch.OutOfMemoryError: CUDA out of memory.")
    assert not found.restart


async def test_a_node_that_raises_is_named(comfy: Comfy) -> None:
    found = failure(await comfy.run(picture("[sim: error=the lamp is out]")))
    assert (found.failure_class, found.message) == ("NodeError", "node 3 (KSampler): RuntimeError: the lamp is out")


async def test_nothing_comes_after_a_failure(comfy: Comfy) -> None:
    prompts = [picture("[sim: error=no]", seed=1), picture(seed=2)]
    outcomes = await comfy.run(*prompts)
    assert [outcome.prompt_id for outcome in outcomes] == [prompts[0].id]
    assert await stop(comfy.client, comfy.feed, [prompt.id for prompt in prompts], SECONDS)


async def test_a_success_without_the_expected_files_is_none(comfy: Comfy) -> None:
    prompt = picture()
    prompt.graph["9"] = node("PreviewImage", images=["8", 0])
    found = failure(await comfy.run(prompt))
    assert found.failure_class == "NodeError"
    assert found.message.startswith("completed but node 9 (PreviewImage) stored nothing (only a temporary preview")


async def test_a_blocked_output_is_a_failure(comfy: Comfy) -> None:
    await comfy.misbehave(block=1)
    found = failure(await comfy.run(picture(seed=80)))
    assert found.failure_class == "NodeError"
    assert found.message == "completed but node 9 (SaveImage) stored nothing (it stored no file)"


async def test_one_of_several_outputs_that_is_missing_is_a_failure(comfy: Comfy) -> None:
    prompt = picture(seed=81)
    prompt.graph["10"] = node("SaveImage", images=["8", 0], filename_prefix=f"{prompt.id}/10")
    await comfy.misbehave(block=1)
    found = failure(await comfy.run(replace(prompt, outputs={"9": "image", "10": "copy"})))
    assert (found.failure_class, found.message.count("stored nothing")) == ("NodeError", 1)


async def test_a_text_is_a_result(comfy: Comfy) -> None:
    [outcome] = await comfy.run(Prompt({"9": node("PreviewAny", source="a lamp")}))
    assert isinstance(outcome, Success)
    assert (outcome.files["9"], outcome.values["9"]) == ((), (OutputValue("text.txt", b"a lamp"),))


async def test_what_is_saved_again_was_not_rendered_again(comfy: Comfy) -> None:
    outcomes = await comfy.run(picture(seed=82)) + await comfy.run(picture(seed=82)) + await comfy.run(picture(seed=83))
    assert [isinstance(outcome, Success) and outcome.reused for outcome in outcomes] == [False, True, False]


async def test_a_file_of_another_prompt_is_not_taken(comfy: Comfy) -> None:
    first, second = picture(seed=84), picture(seed=84)
    second.graph["9"] = first.graph["9"]
    assert isinstance((await comfy.run(first))[0], Success)
    found = failure(await comfy.run(second))
    assert (found.failure_class, found.free) == ("NodeError", True)
    assert found.message.startswith(
        "node 9 (SaveImage) was not run: ComfyUI's cache named 9_00001_.png of an earlier job"
    )


async def test_after_the_cache_was_dropped_the_same_prompt_is_rendered(comfy: Comfy) -> None:
    first, second = picture(seed=85), picture(seed=85)
    second.graph["9"] = first.graph["9"]
    await comfy.run(first)
    await comfy.free()
    [outcome] = await comfy.run(second)
    assert isinstance(outcome, Success)
    assert not outcome.reused


async def test_a_lost_history_entry_is_a_lost_server(comfy: Comfy) -> None:
    await comfy.misbehave(lose_history=1)
    found = failure(await comfy.run(picture()))
    assert found.failure_class == "ServerLost"
    assert "does not know the prompt any more" in found.message


async def test_an_interruption_by_others_is_a_lost_server(comfy: Comfy) -> None:
    prompt = picture("[sim: step=0.2]", steps=50)
    running = asyncio.create_task(comfy.run(prompt))
    await comfy.until_running(prompt)
    await comfy.client.interrupt(prompt.id)
    found = failure(await running)
    assert (found.failure_class, found.restart) == ("ServerLost", False)


async def test_a_sampler_without_progress_is_interrupted(comfy: Comfy) -> None:
    found = failure(await comfy.run(picture("[sim: step=1.5]", steps=50), limits=Limits(stuck_seconds=0.5)))
    assert found.failure_class == "ServerStuck"
    assert found.message == "no progress for 0.5 s; ComfyUI was interrupted"
    assert not found.restart


async def test_slow_but_moving_is_not_stuck(comfy: Comfy) -> None:
    limits = Limits(stuck_seconds=0.8, poll_seconds=0.1)
    [outcome] = await comfy.run(picture("[sim: step=0.3]", steps=8), limits=limits)
    assert isinstance(outcome, Success)


async def test_a_hung_worker_needs_a_restart(doomed: Comfy) -> None:
    found = failure(await doomed.run(picture("[sim: stuck]")))
    assert (found.failure_class, found.restart) == ("ServerStuck", True)


async def test_a_dead_worker_needs_a_restart(doomed: Comfy) -> None:
    found = failure(await doomed.run(picture("[sim: dead]")))
    assert (found.failure_class, found.restart) == ("ServerStuck", True)


async def test_what_waits_behind_a_dead_worker_needs_a_restart(doomed: Comfy) -> None:
    await doomed.client.submit(*_submission(picture("[sim: dead]")))
    found = failure(await doomed.run(picture(seed=2)))
    assert (found.failure_class, found.restart) == ("ServerStuck", True)


def _submission(prompt: Prompt) -> tuple[str, dict[str, object]]:
    return prompt.id, prompt.graph


async def test_a_crash_while_rendering_is_a_lost_server(doomed: Comfy) -> None:
    found = failure(await doomed.run(picture("[sim: crash]")))
    assert (found.failure_class, found.restart) == ("ServerLost", False)


async def test_a_server_that_is_not_there_is_lost_at_once(doomed: Comfy) -> None:
    doomed.sim.end()
    begun = time.monotonic()
    found = failure(await doomed.run(picture(), limits=Limits(gone_seconds=60)))
    assert found.failure_class == "ServerLost"
    assert time.monotonic() - begun < SECONDS


async def test_a_pending_prompt_is_stopped_before_it_runs(comfy: Comfy) -> None:
    first, second = picture("[sim: step=0.2]", steps=50), picture(seed=2)
    running = asyncio.create_task(comfy.run(first, second))
    await comfy.until_running(first)
    assert await stop(comfy.client, comfy.feed, [first.id, second.id], SECONDS)
    await running
    assert second.id not in await comfy.executions()


async def test_lost_interrupts_are_repeated(comfy: Comfy) -> None:
    prompt = picture("[sim: step=0.2]", steps=200)
    running = asyncio.create_task(comfy.run(prompt))
    await comfy.until_running(prompt)
    await comfy.misbehave(lose_interrupts=3)
    assert await stop(comfy.client, comfy.feed, [prompt.id], SECONDS)
    assert failure(await running).failure_class == "ServerLost"


async def test_progress_grows_to_the_whole(comfy: Comfy) -> None:
    prompt = picture("[sim: step=0.05]", steps=10)
    running = asyncio.create_task(comfy.run(prompt))
    seen: list[tuple[str, int, int, float]] = []
    while not running.done():
        at = comfy.feed.progress(prompt.id)
        seen.append((at.node, at.step, at.steps, at.fraction))
        await comfy.feed.nudged(0.02)
    fractions = [one[3] for one in seen if one[0]]
    assert fractions == sorted(fractions)
    assert max(step for node_id, step, steps, _ in seen if (node_id, steps) == ("3", 10)) >= 5
