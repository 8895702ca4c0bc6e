"""Real agents and stand-ins as processes of this machine, in place of the containers of server pods."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from comfyard.controller.resources.access import AGENT
from comfyard.kube.kinds import Obj, name_of
from comfysim.checkpoint import write_checkpoint
from hack.bench import quickstart
from hack.bench.bed import Plane
from hack.bench.kubelet import Ready
from hack.bench.player import BenchError
from hack.cluster.process import END_WITH_US, free_port

_MODEL_BYTES = 64 * 1024
_START_SECONDS = 120.0
_LOOK_SECONDS = 0.2
_AGENT = "agent"
"""The container of a server pod that has our agent."""


@dataclass(frozen=True)
class Execution:
    """A prompt that a stand-in has run, times in seconds since 1970."""

    prompt_id: str
    began: float
    ended: float


class Servers:
    """The processes of all servers of a namespace.

    Attributes:
        urls: Of the stand-ins of servers that are ready, by server.
    """

    def __init__(self, plane: Plane, namespace: str, folder: Path, step_seconds: float = 0.0) -> None:
        self.urls: dict[str, str] = {}
        self._plane = plane
        self._namespace = namespace
        self._folder = folder
        self._step_seconds = step_seconds
        self._kubeconfig: Path | None = None

    async def serve(self, pod: Obj, ready: Ready) -> None:
        """Run a stand-in and an agent until cancelled; `ready` is called when the agent's probe says so."""
        folder = self._folder / name_of(pod)
        prepare(folder)
        async with standin(folder, self._step_seconds) as url, self._agent(pod, folder, url) as probe:
            await _answers(f"{probe}/readyz")
            await ready()
            self.urls[name_of(pod)] = url
            await asyncio.Event().wait()

    @contextlib.asynccontextmanager
    async def _agent(self, pod: Obj, folder: Path, comfyui: str) -> AsyncIterator[str]:
        """The agent as its container would run it, but for addresses and folders; yields the address of its probes."""
        container = next(each for each in pod["spec"]["containers"] if each["name"] == _AGENT)
        values = {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}
        self._kubeconfig = self._kubeconfig or self._plane.kubeconfig(self._namespace, AGENT)
        port = free_port()
        ours = {
            "NAMESPACE": self._namespace,
            "SERVER": name_of(pod),
            "COMFYUI_URL": comfyui,
            "OUTPUT_DIRECTORY": str(folder / "output"),
            "INPUT_DIRECTORY": str(folder / "input"),
            "INPUTS_DIRECTORY": str(folder / "claims"),
            "RESULTS_DIRECTORY": str(folder / "results"),
            "RUN_DIRECTORY": str(folder / "run"),
            "TERMINATION_LOG": str(folder / "termination.log"),
            "PORT": str(port),
        }
        values |= {f"COMFYARD_{name}": value for name, value in ours.items()}
        values["KUBECONFIG"] = str(self._kubeconfig)
        async with program(folder / "agent.log", values, "-m", "comfyard", "agent"):
            yield f"http://127.0.0.1:{port}"

    def executions(self) -> Iterator[Execution]:
        """What all stand-ins have run."""
        for folder in self._folder.iterdir():
            yield from executions(folder)


def prepare(folder: Path) -> None:
    """The directories of one server, with the quickstart's model."""
    for name in ("output", "input", "claims", "results", "run", "user", "custom_nodes"):
        (folder / name).mkdir(parents=True)
    for model in quickstart.example(quickstart.BUNDLE)["spec"]["models"]:
        path = folder / "models" / model["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(path, _MODEL_BYTES)


@contextlib.asynccontextmanager
async def standin(folder: Path, step_seconds: float) -> AsyncIterator[str]:
    """A stand-in with a record; yields its address once it answers."""
    port = free_port()
    values = {
        "COMFYSIM_STEP_SECONDS": str(step_seconds),
        "COMFYSIM_LOAD_BYTES_PER_SECOND": "0",
        "COMFYSIM_RECORD": str(folder / "record.jsonl"),
    }
    arguments = ("-m", "comfysim", "--base-directory", str(folder), "--port", str(port))
    async with program(folder / "standin.log", values, *arguments):
        await _answers(f"http://127.0.0.1:{port}/queue")
        yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def program(log: Path, values: Mapping[str, str], *arguments: str) -> AsyncIterator[None]:
    """A Python program with these environment variables, until the end of the block."""
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *END_WITH_US, sys.executable, *arguments, env={**os.environ, **values}, stdout=file, stderr=file
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has failed; that it has shows elsewhere
            process.kill()
        await process.wait()


def executions(folder: Path) -> Iterator[Execution]:
    """What the stand-in of a folder has run."""
    for line in map(json.loads, (folder / "record.jsonl").read_text().splitlines()):
        if line["event"] == "end":
            yield Execution(line["prompt_id"], line["started"], line["ended"])


async def _answers(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if answer.ok:
                        return
            await asyncio.sleep(_LOOK_SECONDS)
    raise BenchError(f"{url} is not well after {_START_SECONDS:.0f} s")
