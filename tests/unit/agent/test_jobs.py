"""Jobs from their assignment to their end."""

import hashlib
import signal

import pytest

from comfyard.api.conditions import COMPLETE, READY, is_true, timestamp
from comfyard.runtime.context import now
from tests.unit.agent.harness import CLAIM, SERVER, Studio

pytestmark = pytest.mark.api


async def test_a_job_ends_with_its_files_in_one_write(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order()
    job = await studio.end_of_attempt()
    [result] = job.status.outputs
    key = f"{studio.namespace}/lighthouse-{uid[:8]}/image-000.png"
    content = (studio.agent.results / key).read_bytes()
    assert (result.name, result.index, result.uri) == ("image", 0, f"claim://{CLAIM}/{key}")
    assert (result.sha256, result.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (result.content_type, result.width, result.height) == ("image/png", 64, 64)
    assert (job.status.state, job.is_finished(), job.status.assignment) == ("Complete", True, None)
    assert job.status.message == f"1 image stored in claim://{CLAIM}/{key.rpartition('/')[0]}"


async def test_a_finished_job_is_what_kubernetes_calls_ready(studio: Studio) -> None:
    studio.agent.start()
    await studio.order()
    job = await studio.end_of_attempt()
    assert is_true(job.status.conditions, READY)
    assert is_true(job.status.conditions, COMPLETE)
    assert job.status.observed_generation == job.metadata.generation
    assert job.status.completion_time
    assert job.status.progress
    assert job.status.progress.percent == 100


async def test_the_attempt_is_recorded_and_paid_for(studio: Studio) -> None:
    studio.agent.start()
    await studio.order(prompt="[sim: step=0.8]")
    job = await studio.end_of_attempt()
    [attempt] = job.status.attempts
    assert (attempt.outcome, attempt.server, attempt.profile) == ("Succeeded", SERVER, "l4")
    assert job.status.usage
    assert job.status.usage.queued_seconds == 3
    assert 2 <= job.status.usage.gpu_seconds <= 60


async def test_each_index_has_its_own_seed_even_over_the_largest(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(count=3)
    job = await studio.end_of_attempt()
    assert [result.index for result in job.status.outputs] == [0, 1, 2]
    seeds = []
    for index in range(3):
        own = studio.prompt_id(uid, index)
        entry = (await studio.comfy("GET", f"/history/{own}"))[own]
        seeds.append(entry["prompt"][2]["3"]["inputs"]["seed"])
    assert seeds == [18446744073709551614, 18446744073709551615, 0]


async def test_several_files_of_one_index_are_numbered(studio: Studio) -> None:
    studio.agent.start()
    await studio.order(revision="t-batch")
    job = await studio.end_of_attempt()
    assert [result.uri.rpartition("/")[2] for result in job.status.outputs] == [
        "image-000-0.png",
        "image-000-1.png",
        "image-000-2.png",
    ]


async def test_what_is_stored_is_deleted_from_comfyuis_directory(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(count=2)
    await studio.end_of_attempt()
    assert studio.agent.end(signal.SIGTERM) == 0
    assert not (studio.sim.output / uid).exists()


async def test_recorded_indexes_are_not_rendered_again(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(count=2, stored=[0])
    job = await studio.end_of_attempt()
    assert [result.index for result in job.status.outputs] == [0, 1]
    assert await studio.executions() == [studio.prompt_id(uid, 1)]


async def test_progress_is_told_in_words(studio: Studio) -> None:
    studio.agent.start()
    await studio.order(prompt="[sim: step=0.3]", steps=12)
    job = await studio.until(lambda job: job.status.state == "Running")
    assert job.status.message.startswith(f"rendering 1 of 1 on {SERVER}: KSampler step ")
    assert job.status.message.endswith(" of 12")
    assert job.status.progress
    assert 0 < job.status.progress.percent < 100
    assert (job.status.progress.node, job.status.progress.steps) == ("KSampler", 12)


async def test_the_older_assignment_goes_first(studio: Studio) -> None:
    first = await studio.order("first")
    second = await studio.order("second")
    studio.agent.start()
    await studio.end_of_attempt("first")
    await studio.end_of_attempt("second")
    assert await studio.executions() == [studio.prompt_id(first), studio.prompt_id(second)]


async def test_the_next_job_is_queued_behind_the_one_that_runs(studio: Studio) -> None:
    studio.agent.start()
    first = await studio.order("first", prompt="[sim: step=0.2]", steps=10)
    await studio.until_rendering(studio.prompt_id(first))
    second = await studio.order("second")
    await studio.until_pending(studio.prompt_id(second))
    await studio.end_of_attempt("first")
    assert (await studio.end_of_attempt("second")).status.state == "Complete"


async def test_files_are_stored_while_the_next_job_is_rendered(studio: Studio) -> None:
    studio.agent.start()
    studio.agent.break_results()
    first = await studio.order("first")
    second = await studio.order("second", prompt="[sim: step=0.3]", steps=10)
    await studio.until_rendering(studio.prompt_id(second))
    assert (await studio.now("first")).status.attempts == []
    studio.agent.mend_results()
    assert (await studio.end_of_attempt("first")).status.state == "Complete"
    assert studio.prompt_id(second) in [item[1] for item in (await studio.comfy("GET", "/queue"))["queue_running"]]
    assert (await studio.end_of_attempt("second")).status.state == "Complete"
    assert await studio.executions() == [studio.prompt_id(first), studio.prompt_id(second)]


async def test_the_order_is_the_same_for_the_next_agent(studio: Studio) -> None:
    time = timestamp(now())
    uids = [await studio.order(name, prompt="[sim: step=0.2]", steps=8, server="") for name in ("b", "a", "c")]
    for name in ("c", "b", "a"):
        await studio.assign(name, time=time)
    studio.agent.start()
    await studio.until_rendering(studio.prompt_id(uids[1]))
    studio.agent.end()
    studio.agent.start()
    for name in ("a", "b", "c"):
        assert (await studio.end_of_attempt(name)).status.state == "Complete"
    assert await studio.executions() == [studio.prompt_id(uids[place]) for place in (1, 0, 2)]


async def test_a_job_of_another_server_is_left_alone(studio: Studio) -> None:
    studio.agent.start()
    await studio.order("other", server="somebody-else")
    await studio.order()
    await studio.end_of_attempt()
    assert len(await studio.executions()) == 1
