"""What is reported when a job cannot be done."""

import shutil
import signal
from pathlib import Path

import pytest

from comfyard.api.generation_job import GenerationJob
from comfyard.kube.kinds import GENERATION_JOB
from tests.unit.agent.harness import Studio

MEDIA = Path(__file__).parents[1] / "outputs" / "media"

pytestmark = pytest.mark.api


def failure(job: GenerationJob) -> tuple[str | None, str]:
    """Class and message of the last attempt, which ended the assignment and nothing else."""
    attempt = job.status.attempts[-1]
    assert (attempt.outcome, job.status.assignment, job.status.progress) == ("Failed", None, None)
    assert not job.is_finished()
    assert job.status.message == attempt.message
    return attempt.failure_class, attempt.message


async def test_a_refused_graph_is_invalid(studio: Studio) -> None:
    studio.agent.start()
    await studio.order(steps=0)
    kind, message = failure(await studio.end_of_attempt())
    assert kind == "Invalid"
    assert "node 3 (KSampler), input steps: Value 0 smaller than min of 1" in message


async def test_a_deleted_revision_is_invalid(studio: Studio) -> None:
    studio.agent.start()
    await studio.order(revision="gone-1")
    kind, message = failure(await studio.end_of_attempt())
    assert kind == "Invalid"
    assert "ControllerRevision gone-1, was deleted; order again" in message


async def test_a_node_error_is_named(studio: Studio) -> None:
    studio.agent.start()
    await studio.order(prompt="[sim: error=the lamp is out]")
    assert failure(await studio.end_of_attempt()) == ("NodeError", "node 3 (KSampler): RuntimeError: the lamp is out")


async def test_what_was_stored_before_a_failure_is_kept(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(prompt="[sim: step=0.3]", steps=8, count=2)
    await studio.until_rendering(studio.prompt_id(uid, 1))
    await studio.comfy("POST", "/comfysim/misbehave", json={"error": 1})
    job = await studio.end_of_attempt()
    assert failure(job)[0] == "NodeError"
    assert [result.index for result in job.status.outputs] == [0]


async def test_out_of_memory_has_its_own_class(studio: Studio) -> None:
    studio.agent.start()
    await studio.order(prompt="[sim: oom]")
    kind, message = failure(await studio.end_of_attempt())
    assert kind == "OutOfVRAM"
    assert "CUDA out of memory" in message


async def test_the_server_goes_on_after_a_failure(studio: Studio) -> None:
    studio.agent.start()
    await studio.order("bad", prompt="[sim: oom]")
    await studio.order("good")
    await studio.end_of_attempt("bad")
    assert (await studio.end_of_attempt("good")).status.state == "Complete"


async def test_a_crash_of_comfyui_is_a_lost_server(studio: Studio) -> None:
    studio.agent.start()
    await studio.order(prompt="[sim: crash=2]", steps=4)
    assert failure(await studio.end_of_attempt())[0] == "ServerLost"


async def test_a_lost_history_entry_is_a_lost_server(studio: Studio) -> None:
    await studio.comfy("POST", "/comfysim/misbehave", json={"lose_history": 1})
    studio.agent.start()
    await studio.order()
    kind, message = failure(await studio.end_of_attempt())
    assert kind == "ServerLost"
    assert "does not know the prompt any more" in message


@pytest.mark.parametrize("switch", ["stuck", "dead"])
async def test_a_stuck_comfyui_is_restarted_after_the_report(studio: Studio, switch: str) -> None:
    studio.agent.start(STUCK_SECONDS="1")
    await studio.order(prompt=f"[sim: {switch}]")
    kind, message = failure(await studio.end_of_attempt())
    assert kind == "ServerStuck"
    assert "it is restarted" in message
    await studio.agent.until_marked("restart")
    assert await studio.agent.until_ready(503) == "ComfyUI is stuck and is being restarted"


async def test_work_goes_on_in_the_restarted_comfyui(studio: Studio) -> None:
    studio.agent.start(STUCK_SECONDS="1")
    await studio.order("bad", prompt="[sim: once-stuck]")
    await studio.order("good")
    await studio.end_of_attempt("bad")
    await studio.agent.until_marked("restart")
    with studio.restarted_sim():
        assert (await studio.end_of_attempt("good")).status.state == "Complete"
        await studio.agent.until_ready()
        assert not (studio.agent.run / "restart").exists()


async def test_results_that_cannot_be_stored_are_explained(studio: Studio) -> None:
    studio.agent.start(STORE_SECONDS="0")
    studio.agent.break_results()
    await studio.order()
    kind, message = failure(await studio.end_of_attempt())
    assert kind == "OutputFailed"
    assert message.startswith("claim results does not take ")
    assert message.endswith("Not a directory; see whether the volume is healthy")


async def test_storing_is_tried_again_without_rendering_again(studio: Studio) -> None:
    studio.agent.start()
    studio.agent.break_results()
    await studio.order()
    await studio.agent.until_logged("see whether the volume is healthy; again in")
    studio.agent.mend_results()
    assert (await studio.end_of_attempt()).status.state == "Complete"
    assert len(await studio.executions()) == 1


async def test_a_server_without_a_claim_needs_an_output(studio: Studio) -> None:
    studio.agent.start(RESULTS_CLAIM="")
    await studio.order()
    kind, message = failure(await studio.end_of_attempt())
    assert kind == "OutputFailed"
    assert "this server has no claim for results; name an output in the job" in message
    assert await studio.executions() == []


async def test_more_files_than_a_status_holds_are_too_many(studio: Studio) -> None:
    studio.agent.start()
    await studio.order(revision="t-many", count=2)
    kind, message = failure(await studio.end_of_attempt())
    assert (kind, message) == ("Invalid", "260 files are more than the 256 of one job; order fewer at once")


async def test_an_input_that_cannot_be_had_costs_no_rendering(studio: Studio) -> None:
    studio.agent.start()
    absent = {"claim": {"name": "pictures", "path": "absent.png"}}
    inputs = [{"parameter": "photo", **absent}, {"parameter": "shape", **absent}]
    await studio.order(revision="t-photo", inputs=inputs)
    kind, message = failure(await studio.end_of_attempt())
    assert kind == "InputFailed"
    assert message.endswith(": there is no absent.png of claim pictures; correct its path")
    assert await studio.executions() == []


async def test_an_output_that_stored_nothing_is_a_failure(studio: Studio) -> None:
    studio.agent.start()
    await studio.agent.until_ready()
    await studio.comfy("POST", "/comfysim/misbehave", json={"block": 1})
    await studio.order()
    kind, message = failure(await studio.end_of_attempt())
    assert (kind, message) == ("NodeError", "completed but node 9 (SaveImage) stored nothing (it stored no file)")


async def test_an_upload_that_failed_is_repeated_without_rendering_again(studio: Studio) -> None:
    studio.agent.start(STORE_SECONDS="0")
    studio.agent.break_results()
    uid = await studio.order()
    assert failure(await studio.end_of_attempt())[0] == "OutputFailed"
    studio.agent.mend_results()
    await studio.assign()
    assert (await studio.end_of_attempt(number=2)).status.state == "Complete"
    assert await studio.executions() == [studio.prompt_id(uid)]
    assert studio.agent.end(signal.SIGTERM) == 0
    assert not (studio.sim.output / uid).exists()


async def test_only_what_was_not_rendered_is_rendered_after_an_upload_that_failed(studio: Studio) -> None:
    studio.agent.start(STORE_SECONDS="0")
    studio.agent.break_results()
    uid = await studio.order(prompt="[sim: step=0.3]", steps=4, count=3)
    assert failure(await studio.end_of_attempt())[0] == "OutputFailed"
    studio.agent.mend_results()
    await studio.assign()
    job = await studio.end_of_attempt(number=2)
    assert [result.index for result in job.status.outputs] == [0, 1, 2]
    ids = [*(studio.prompt_id(uid, index) for index in range(3)), studio.prompt_id(uid, 2, attempt=1)]
    assert [(line["prompt_id"], line["outcome"]) for line in await studio.record()] == list(
        zip(ids, ["success", "success", "interrupted", "success"], strict=True)
    )


async def test_what_could_not_be_stored_is_rendered_again_on_another_order(studio: Studio) -> None:
    studio.agent.start(STORE_SECONDS="0")
    studio.agent.break_results()
    uid = await studio.order()
    await studio.end_of_attempt()
    changed = {"parameters": {"prompt": "a windmill", "steps": 2}}
    await studio.kube.patch_status(GENERATION_JOB, "lighthouse", studio.namespace, changed)
    studio.agent.mend_results()
    await studio.assign()
    await studio.end_of_attempt(number=2)
    assert await studio.executions() == [studio.prompt_id(uid), studio.prompt_id(uid, 0, 1)]


async def test_a_format_that_cannot_be_stripped_is_explained(studio: Studio) -> None:
    studio.agent.start()
    (studio.agent.claims / "pictures").mkdir()
    for name in ("film.webm", "song.flac"):
        shutil.copy(MEDIA / name, studio.agent.claims / "pictures")
    inputs = [
        {"parameter": "film", "claim": {"name": "pictures", "path": "film.webm"}},
        {"parameter": "song", "claim": {"name": "pictures", "path": "song.flac"}},
    ]
    await studio.order(revision="t-media", inputs=inputs, output={"metadata": "Strip"})
    kind, message = failure(await studio.end_of_attempt())
    assert kind == "OutputFailed"
    assert message.startswith("output film, ComfyUI's file 13_00001_.mp4: the graph cannot be taken out, as this is")
    assert "order with output.metadata: Embed" in message
