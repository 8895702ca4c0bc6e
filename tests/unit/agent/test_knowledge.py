"""What the agent tells of the node classes of the ComfyUI beside it."""

import base64
from typing import Any

import pytest

from comfyard.controller.resources.access import Named, build_access
from comfyard.controller.resources.node_report import build_report
from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import CONFIG_MAP
from comfyard.workflow.object_info import Knowledge
from comfyard.workflow.reported_nodes import KEY, unpack
from tests.builders import profile
from tests.unit.agent.harness import Agent, Studio, eventually
from tests.unit.comfysim.harness import popen

pytestmark = pytest.mark.api


@pytest.fixture
async def report(kube: LightkubeClient, namespace: str) -> str:
    """The name of the ConfigMap, as the operator makes it before it makes a server."""
    made = build_report(namespace, profile(), [])
    name = str(made["metadata"]["name"])
    await kube.create(CONFIG_MAP, made)
    for kind, obj in build_access(namespace, Named(node_reports=[name])):
        await kube.apply(kind, obj)
    return name


async def told(studio: Studio, name: str) -> Knowledge | None:
    found: dict[str, Any] = await studio.kube.get(CONFIG_MAP, name, studio.namespace)
    content = (found.get("binaryData") or {}).get(KEY)
    return unpack(base64.b64decode(content)) if content else None


async def until_told(studio: Studio, name: str, *, with_api_nodes: bool = True) -> Knowledge:
    known: Knowledge | None = None

    async def check() -> bool:
        nonlocal known
        known = await told(studio, name)
        return bool(known and any(c.api_node for c in known.classes.values()) is with_api_nodes)

    await eventually(check)
    assert known
    return known


async def test_all_classes_of_the_server_are_told(studio: Studio, agent: Agent, report: str) -> None:
    agent.start(NODE_REPORT=report)
    known = await until_told(studio, report)
    assert known.complete
    assert set(known.classes) == set(await studio.comfy("GET", "/object_info"))


async def test_what_has_been_told_is_not_written_again(studio: Studio, agent: Agent, report: str) -> None:
    agent.start(NODE_REPORT=report)
    await until_told(studio, report)
    before = await studio.kube.get(CONFIG_MAP, report, studio.namespace)
    agent.end()
    agent.start()
    await agent.until_logged("has told the same node classes already")
    assert await studio.kube.get(CONFIG_MAP, report, studio.namespace) == before


async def test_another_process_of_comfyui_is_asked_again(studio: Studio, agent: Agent, report: str) -> None:
    agent.start(NODE_REPORT=report)
    await until_told(studio, report)
    studio.sim.end()
    with popen(studio.sim.base, studio.sim.port, "--disable-api-nodes") as process:
        await until_told(studio, report, with_api_nodes=False)
        process.kill()


async def test_jobs_run_all_the_same_where_it_cannot_be_told(studio: Studio, agent: Agent) -> None:
    agent.start(NODE_REPORT="somebody-elses")
    await agent.until_logged("node classes cannot be told in ConfigMap somebody-elses")
    await studio.order()
    await studio.until(lambda job: job.is_finished())
