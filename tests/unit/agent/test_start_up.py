"""What is done with a process of ComfyUI before its server is ready: a look at its custom nodes, and a warm-up."""

import json
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfyard.agent.termination import tell
from tests.unit.agent.harness import SERVER, Agent, Studio
from tests.unit.comfysim.harness import Sim, node, running, sd15

pytestmark = pytest.mark.api

PACKAGES = {"good": "NODE_CLASS_MAPPINGS = {}\n", "broken": "import no_such_module\n", "theirs": "raise OSError\n"}
WARM_UP = str(uuid.uuid5(uuid.NAMESPACE_DNS, SERVER))
LONG: dict[str, Any] = {"text": "[sim: step=0.2]", "steps": 10}


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Sim]:
    """A stand-in ComfyUI with custom nodes."""
    base = tmp_path / "comfyui"
    for name, text in PACKAGES.items():
        (base / "custom_nodes" / name).mkdir(parents=True)
        (base / "custom_nodes" / name / "__init__.py").write_text(text)
    with running(base, COMFYSIM_STEP_SECONDS="0.02", COMFYSIM_PROMPT_SWITCHES="1") as server:
        yield server


def warm_up(agent: Agent, **given: Any) -> str:
    """The setting for a warm-up, which also shows a picture that it does not name."""
    graph = {**sd15(**given), "10": node("PreviewImage", images=["8", 0])}
    path = str(agent.folder / "warm-up.json")
    write(path, json.dumps(graph))
    return path


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


def told(agent: Agent) -> dict[str, str]:
    """What kubelet would show of the agent's end."""
    found: dict[str, str] = json.loads(agent.termination.read_text())
    return found


async def test_a_server_is_ready_once_it_has_rendered(studio: Studio, agent: Agent) -> None:
    agent.start(WARM_UP=warm_up(agent, **LONG))
    reasons = [await agent.until_ready(503)]
    while reasons[-1] != "ComfyUI is warming up":
        reasons.append(await agent.until_ready(503))
    assert await agent.until_ready() == "ok"
    [done] = await studio.record()
    assert (done["outcome"], done["steps"]) == ("success", 10)
    assert list(studio.sim.output.iterdir()) == []
    assert agent.termination.read_text() == ""


async def test_it_is_not_repeated_by_the_next_agent(studio: Studio, agent: Agent) -> None:
    agent.start(WARM_UP=warm_up(agent, **LONG))
    await studio.until_rendering(WARM_UP)
    agent.end()
    agent.start()
    await agent.until_ready()
    agent.end()
    agent.start()
    await agent.until_ready()
    [done] = await studio.record()
    assert done["outcome"] == "success"


async def test_every_process_is_warmed_up(studio: Studio, agent: Agent) -> None:
    agent.start(WARM_UP=warm_up(agent))
    await agent.until_ready()
    studio.sim.end()
    await agent.until_ready(503)
    with studio.restarted_sim():
        await agent.until_ready()
        assert [line["outcome"] for line in await studio.record()] == ["success"]


async def test_a_job_is_not_held_up_for_it(studio: Studio, agent: Agent) -> None:
    agent.start(WARM_UP=warm_up(agent, **LONG))
    await studio.until_rendering(WARM_UP)
    uid = await studio.order()
    await studio.until_pending(studio.prompt_id(uid))
    assert (await studio.end_of_attempt()).status.state == "Complete"
    assert (await studio.executions())[1:] == [studio.prompt_id(uid)]


async def test_a_server_that_cannot_be_warmed_up_is_ready_and_says_why(studio: Studio, agent: Agent) -> None:
    agent.start(WARM_UP=warm_up(agent, text="[sim: error=it is too cold]"))
    await agent.until_ready()
    assert told(agent) == {"reason": "WarmUpFailed", "message": "node 3 (KSampler): RuntimeError: it is too cold"}
    assert [line["outcome"] for line in await studio.record()] == ["error"]
    await studio.order()
    assert (await studio.end_of_attempt()).status.state == "Complete"


async def test_one_that_is_stuck_is_not_tried_again(studio: Studio, agent: Agent) -> None:
    agent.start(WARM_UP=warm_up(agent, text="[sim: stuck]"), STUCK_SECONDS="1")
    await agent.until_marked("restart")
    with studio.restarted_sim():
        await agent.until_ready()
        assert await studio.record() == []
    assert told(agent)["reason"] == "WarmUpFailed"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("[]", "it must be an object"),
        ('{"1": {"class_type": "KSampler"}}', "node 1: inputs must be an object"),
    ],
)
async def test_what_is_no_graph_is_told(studio: Studio, agent: Agent, text: str, why: str) -> None:
    path = warm_up(agent)
    write(path, text)
    agent.start(WARM_UP=path)
    await agent.until_ready()
    assert told(agent)["message"].startswith(f"the warm-up in {path} is no graph: {why}")
    assert await studio.executions() == []


async def test_custom_nodes_that_were_imported_are_no_trouble(agent: Agent) -> None:
    agent.start(CUSTOM_NODES="good,of-another-name")
    assert await agent.until_ready() == "ok"


async def test_without_its_custom_nodes_a_server_does_not_work(studio: Studio, agent: Agent) -> None:
    await studio.order()
    agent.start(CUSTOM_NODES="good,broken")
    assert agent.wait() == 1
    assert told(agent)["reason"] == "CustomNodeFailed"
    [reason, *traceback] = told(agent)["message"].splitlines()
    assert reason == (
        "ComfyUI cannot import the custom nodes broken: ModuleNotFoundError: No module named 'no_such_module'; "
        "use a server image that has what they need, or take them out of the bundle"
    )
    assert traceback[-2:] == ["    import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"]
    job = await studio.now()
    assert (job.status.state, job.status.attempts) == ("Assigned", [])
    assert await studio.executions() == []


async def test_an_agent_that_is_told_to_end_leaves_no_last_words(agent: Agent) -> None:
    agent.start(CUSTOM_NODES="good")
    await agent.until_ready()
    assert agent.end(signal.SIGTERM) == 0
    assert agent.termination.read_text() == ""


def test_last_words_fit_into_what_kubelet_takes(tmp_path: Path) -> None:
    path = tmp_path / "termination-log"
    path.touch()
    tell(path, "CustomNodeFailed", "kein Geräusch\n" * 2000)
    written = path.read_bytes()
    assert 2000 < len(written) <= 4096
    assert json.loads(written)["message"].startswith("kein Geräusch\nkein")


def test_without_kubelets_file_nothing_is_made(tmp_path: Path) -> None:
    tell(tmp_path / "termination-log", "CustomNodeFailed", "no")
    assert list(tmp_path.iterdir()) == []
