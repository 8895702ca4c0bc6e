"""Work that is broken off: by the operator, by a person, by a signal, by a cable that is pulled out."""

import signal
from typing import Any

import pytest

from comfyard.kube.kinds import GENERATION_JOB
from hack.cluster.control_plane import ControlPlane
from tests.unit.agent.harness import Cable, Studio

pytestmark = pytest.mark.api

SLOW: dict[str, Any] = {"prompt": "[sim: step=0.2]", "steps": 300}


async def test_a_killed_agent_finds_its_prompt_in_the_queue(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(prompt="[sim: step=0.2]", steps=15)
    await studio.until_rendering(studio.prompt_id(uid))
    studio.agent.end()
    studio.agent.start()
    job = await studio.end_of_attempt()
    assert job.status.state == "Complete"
    assert await studio.executions() == [studio.prompt_id(uid)]


async def test_a_killed_agent_finds_its_prompt_in_the_history(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(prompt="[sim: step=0.1]", steps=10)
    await studio.until_rendering(studio.prompt_id(uid))
    studio.agent.end()
    await studio.until_idle()
    studio.agent.start()
    job = await studio.end_of_attempt()
    assert job.status.state == "Complete"
    assert await studio.executions() == [studio.prompt_id(uid)]


async def test_a_killed_agent_stores_what_it_had_stored_over_itself(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(prompt="[sim: step=0.2]", steps=8, count=2)
    await studio.until_rendering(studio.prompt_id(uid, 1))
    await studio.agent.until_stored(1)
    studio.agent.end()
    studio.agent.start()
    job = await studio.end_of_attempt()
    assert [result.index for result in job.status.outputs] == [0, 1]
    assert await studio.executions() == [studio.prompt_id(uid, 0), studio.prompt_id(uid, 1)]


async def test_what_nobody_is_assigned_to_is_stopped_at_the_start(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(**SLOW, count=2)
    await studio.until_rendering(studio.prompt_id(uid))
    studio.agent.end()
    await studio.kube.patch_status(GENERATION_JOB, "lighthouse", studio.namespace, {"assignment": None})
    studio.agent.start()
    await studio.until_idle()
    assert await studio.executions() == [studio.prompt_id(uid)]


async def test_files_of_gone_jobs_are_deleted_at_the_start(studio: Studio) -> None:
    left = studio.sim.output / "3c8f8a54-6d0c-4a7e-9b57-0d1a5c2b6e11" / "0-0"
    left.mkdir(parents=True)
    (left / "9_00001_.png").write_bytes(b"x")
    studio.agent.start()
    await studio.order()
    await studio.end_of_attempt()
    assert not left.parent.exists()


async def test_a_taken_assignment_stops_comfyui_and_the_reports(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(**SLOW)
    await studio.until_rendering(studio.prompt_id(uid))
    await studio.assign(server="another")
    await studio.until_idle()
    job = await studio.now()
    assert (job.status.attempts, job.status.assignment and job.status.assignment.server) == ([], "another")


async def test_a_suspended_job_is_stopped(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(**SLOW)
    await studio.until_rendering(studio.prompt_id(uid))
    await studio.suspend("lighthouse")
    await studio.until_idle()
    assert await interrupted(studio) == [studio.prompt_id(uid)]


async def test_a_job_at_its_deadline_is_stopped_and_its_files_go(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(**SLOW, count=2, activeDeadlineSeconds=1)
    await studio.until_rendering(studio.prompt_id(uid))
    await studio.fail("lighthouse", "DeadlineExceeded")
    await studio.until_idle()
    assert await interrupted(studio) == [studio.prompt_id(uid)]
    await studio.order("next")
    assert (await studio.end_of_attempt("next")).status.state == "Complete"
    job = await studio.now()
    assert (job.status.state, job.status.attempts, job.status.outputs) == ("Failed", [], [])
    assert studio.prompt_id(uid, 1) not in await studio.executions()


async def interrupted(studio: Studio) -> list[str]:
    """Prompts that ComfyUI has stopped before their end."""
    return [line["prompt_id"] for line in await studio.record() if line["outcome"] == "interrupted"]


async def test_a_deleted_job_is_stopped_and_the_next_one_begins(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order("unwanted", **SLOW, count=2)
    await studio.until_rendering(studio.prompt_id(uid))
    await studio.order("wanted")
    await studio.kube.delete(GENERATION_JOB, "unwanted", studio.namespace)
    assert (await studio.end_of_attempt("wanted")).status.state == "Complete"
    assert await interrupted(studio) == [studio.prompt_id(uid)]
    assert studio.prompt_id(uid, 1) not in await studio.executions()


async def test_a_new_assignment_is_a_new_attempt(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(prompt="[sim: once-error]")
    await studio.end_of_attempt()
    await studio.assign()
    assert (await studio.end_of_attempt(number=2)).status.state == "Complete"
    assert await studio.executions() == [studio.prompt_id(uid), studio.prompt_id(uid, attempt=1)]


async def test_an_idle_agent_ends_at_once(studio: Studio) -> None:
    studio.agent.start()
    await studio.agent.until_ready()
    assert studio.agent.end(signal.SIGTERM) == 0
    assert (studio.agent.run / "drained").exists()


async def test_a_job_that_is_almost_done_is_finished_first(studio: Studio) -> None:
    studio.agent.start()
    uid = await studio.order(prompt="[sim: step=0.2]", steps=8)
    await studio.until_rendering(studio.prompt_id(uid))
    assert studio.agent.end(signal.SIGTERM) == 0
    assert (await studio.end_of_attempt()).status.state == "Complete"


async def test_a_long_job_is_handed_back(studio: Studio) -> None:
    studio.agent.start(DRAIN_SECONDS="1")
    uid = await studio.order(**SLOW)
    await studio.until_rendering(studio.prompt_id(uid))
    assert studio.agent.end(signal.SIGTERM) == 0
    [attempt] = (await studio.end_of_attempt()).status.attempts
    assert (attempt.failure_class, attempt.message) == ("ServerLost", "the server is shutting down")
    await studio.until_idle()


async def test_a_job_that_has_not_begun_is_handed_back_at_once(studio: Studio) -> None:
    studio.agent.start(DRAIN_SECONDS="20")
    first = await studio.order("first", prompt="[sim: step=0.2]", steps=15)
    await studio.until_rendering(studio.prompt_id(first))
    second = await studio.order("second")
    await studio.until_pending(studio.prompt_id(second))
    studio.agent.send(signal.SIGTERM)
    [attempt] = (await studio.end_of_attempt("second")).status.attempts
    assert (attempt.failure_class, attempt.reason, attempt.message) == (
        "ServerLost",
        None,
        "the server is shutting down",
    )
    assert (await studio.now("first")).status.attempts == []
    assert studio.agent.wait() == 0
    assert (await studio.end_of_attempt("first")).status.state == "Complete"
    assert await studio.executions() == [studio.prompt_id(first)]


async def test_without_the_api_server_work_stops_until_it_is_back(studio: Studio, control_plane: ControlPlane) -> None:
    cable = Cable(int(control_plane.server.rpartition(":")[2]))
    await cable.plug()
    studio.agent.use_server(f"https://127.0.0.1:{cable.port}", control_plane)
    studio.agent.start(LOST_SECONDS="2")
    uid = await studio.order(**SLOW)
    await studio.until_rendering(studio.prompt_id(uid))
    cable.pull()
    await studio.until_idle()
    assert await studio.agent.until_ready(503) == "no contact with the API server"
    await cable.plug()
    [attempt] = (await studio.end_of_attempt()).status.attempts
    assert attempt.failure_class == "ServerLost"
    await studio.agent.until_ready()
    cable.pull()


async def test_a_finished_job_is_reported_when_the_api_server_is_back(
    studio: Studio, control_plane: ControlPlane
) -> None:
    cable = Cable(int(control_plane.server.rpartition(":")[2]))
    await cable.plug()
    studio.agent.use_server(f"https://127.0.0.1:{cable.port}", control_plane)
    studio.agent.start()
    uid = await studio.order(prompt="[sim: step=0.1]", steps=10)
    await studio.until_rendering(studio.prompt_id(uid))
    cable.pull()
    await studio.until_idle()
    await cable.plug()
    assert (await studio.end_of_attempt()).status.state == "Complete"
    assert await studio.executions() == [studio.prompt_id(uid)]
    cable.pull()


async def test_the_agent_is_alive_while_comfyui_is_not(studio: Studio) -> None:
    studio.sim.end()
    studio.agent.start()
    await studio.agent.until_ready(503)
    assert await studio.agent.get("/livez") == (200, "ok")


async def test_there_is_nothing_else_to_ask_for(studio: Studio) -> None:
    studio.agent.start()
    await studio.agent.until_ready()
    assert (await studio.agent.get("/metrics"))[0] == 404


async def test_a_server_is_ready_once_comfyui_is(studio: Studio) -> None:
    studio.sim.end()
    studio.agent.start()
    assert (await studio.agent.until_ready(503)).startswith(("ComfyUI does not answer", "the jobs of this server"))
    with studio.restarted_sim():
        assert await studio.agent.until_ready() == "ok"
