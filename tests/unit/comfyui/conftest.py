"""A stand-in ComfyUI as a process, and our client of it."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from comfyard.comfyui.client import ComfyClient
from comfyard.comfyui.execution import Limits, Success, enqueue, outcomes
from comfyard.comfyui.failure import Failure
from comfyard.comfyui.feed import Feed
from tests.unit.comfysim.harness import Sim, running, sd15

SECONDS = 30.0
QUICK = Limits(stuck_seconds=1, stop_seconds=1, gone_seconds=2, poll_seconds=0.2)


def new_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Prompt:
    """One submission."""

    graph: dict[str, Any]
    id: str = field(default_factory=new_id)
    outputs: dict[str, str] = field(default_factory=lambda: {"9": "image"})

    @property
    def prefix(self) -> str:
        return self.id


def picture(text: str = "a lighthouse", seed: int = 1, **more: Any) -> Prompt:
    own = new_id()
    return Prompt(sd15(text, seed=seed, filename_prefix=f"{own}/9", **more), own)


@dataclass(frozen=True)
class Comfy:
    """Our side of one server, and what only a test may ask."""

    sim: Sim
    client: ComfyClient
    feed: Feed

    async def run(self, *prompts: Prompt, limits: Limits = QUICK) -> list[Success | Failure]:
        async with asyncio.timeout(SECONDS):
            failure = await enqueue(self.client, self.feed, prompts, limits)
            ends = outcomes(self.client, self.feed, prompts, limits)
            return [failure] if failure else [outcome async for outcome in ends]

    async def executions(self) -> list[str]:
        """Ids of the prompts that were begun, in order."""
        async with httpx2.AsyncClient(base_url=self.sim.url, trust_env=False) as http:
            lines = (await http.get("/comfysim/record")).json()["record"]
        return [line["prompt_id"] for line in lines if line["event"] == "start"]

    async def misbehave(self, **switches: Any) -> None:
        async with httpx2.AsyncClient(base_url=self.sim.url, trust_env=False) as http:
            (await http.post("/comfysim/misbehave", json={"reset": True, **switches})).raise_for_status()

    async def free(self) -> None:
        """Free the memory, and wait until the idle worker has: a prompt sent at once could run before that."""
        await self.client.free()
        async with asyncio.timeout(SECONDS), httpx2.AsyncClient(base_url=self.sim.url, trust_env=False) as http:
            used = 1
            while used:
                [device] = (await http.get("/system_stats")).json()["devices"]
                used = device["vram_total"] - device["vram_free"]

    async def until_running(self, prompt: Prompt) -> None:
        """Wait until its sampler has made a step."""
        self.feed.follow(prompt.id, prompt.graph)
        async with asyncio.timeout(SECONDS):
            while self.feed.progress(prompt.id).step < 1:
                await self.feed.nudged(0.02)


@contextlib.asynccontextmanager
async def connected(sim: Sim) -> AsyncIterator[Comfy]:
    own = new_id()
    client, feed = ComfyClient(sim.url, own), Feed(sim.url, own)
    reading = asyncio.create_task(feed.run())
    try:
        async with asyncio.timeout(SECONDS):
            while not feed.connected:
                await feed.nudged(1)
        yield Comfy(sim, client, feed)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await client.close()


@pytest.fixture(scope="module")
def healthy_sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    with running(tmp_path_factory.mktemp("sim"), COMFYSIM_STEP_SECONDS="0.02", COMFYSIM_PROMPT_SWITCHES="1") as sim:
        yield sim


@pytest.fixture
async def comfy(healthy_sim: Sim) -> AsyncIterator[Comfy]:
    """A server that is as good as new after every test."""
    async with connected(healthy_sim) as server:
        yield server
        await server.misbehave()


@pytest.fixture
def doomed_sim(tmp_path: Path) -> Iterator[Sim]:
    with running(tmp_path, COMFYSIM_STEP_SECONDS="0.02", COMFYSIM_PROMPT_SWITCHES="1") as sim:
        yield sim


@pytest.fixture
async def doomed(doomed_sim: Sim) -> AsyncIterator[Comfy]:
    """A server that the test may wreck."""
    async with connected(doomed_sim) as server:
        yield server
