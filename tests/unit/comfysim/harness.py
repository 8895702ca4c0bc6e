"""Starts the real stand-in as a process and talks to it as a client of ComfyUI does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from comfysim.checkpoint import write_checkpoint
from hack.cluster.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from comfysim.json_types import Json

BOUND = 20.0
READY = "To see the GUI go to"
SMALL = 64 * 1024
Graph = dict[str, dict[str, Any]]


@dataclass
class Sim:
    """A running stand-in."""

    process: subprocess.Popen[str]
    base: Path
    port: int
    lines: queue.Queue[str] = field(default_factory=queue.Queue)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> Path:
        return self.base / "output"

    def wait_for_line(self, text: str) -> str:
        while True:
            line = self.lines.get(timeout=BOUND)
            if text in line:
                return line

    def end(self, number: int = signal.SIGKILL) -> int:
        self.process.send_signal(number)
        return self.process.wait(BOUND)


def make_base(base: Path) -> Path:
    """Makes a base directory with small models of every kind that the graphs below name."""
    for name in ("custom_nodes", "user"):
        (base / name).mkdir(parents=True, exist_ok=True)
    names = (
        "checkpoints/sd15.safetensors",
        "checkpoints/sub/other.safetensors",
        "loras/style.safetensors",
        "diffusion_models/flux.safetensors",
        "text_encoders/clip_l.safetensors",
        "text_encoders/t5.safetensors",
        "vae/ae.safetensors",
    )
    for name in names:
        path = base / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(path, SMALL)
    return base


def popen(base: Path, port: int, *args: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "comfysim", "--base-directory", str(base), "--port", str(port), *args],
        stderr=subprocess.PIPE,
        text=True,
        cwd=base,
        env={**os.environ, "COMFYSIM_STEP_SECONDS": "0", **env},
    )


@contextlib.contextmanager
def running(base: Path, *args: str, **env: str) -> Iterator[Sim]:
    """Runs a stand-in until the end of the block."""
    make_base(base)
    port = free_port()
    with popen(base, port, *args, **env) as process:
        sim = Sim(process, base, port)
        reader = threading.Thread(target=_drain, args=(process, sim.lines))
        reader.start()
        try:
            sim.wait_for_line(READY)
            yield sim
        finally:
            process.kill()
            process.wait(BOUND)
            reader.join(BOUND)


def _drain(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        lines.put(line)


@dataclass
class Run:
    """What a client saw of one prompt."""

    prompt_id: str
    frames: list[dict[str, Any]] = field(default_factory=list)
    previews: list[bytes] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame["data"] for frame in self.frames if frame["type"] == kind]

    @property
    def last_message(self) -> tuple[str, dict[str, Any]]:
        kind, data = self.history["status"]["messages"][-1]
        return kind, data

    def files(self, node_id: str = "9") -> list[str]:
        return [entry["filename"] for entry in self.history["outputs"][node_id]["images"]]


class Client:
    """One client of a stand-in, with a WebSocket."""

    def __init__(self, sim: Sim, client_id: str = "", flags: dict[str, Any] | None = None) -> None:
        self.sim = sim
        self.client_id = client_id or uuid.uuid4().hex
        self.flags = flags

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession(self.sim.url, timeout=aiohttp.ClientTimeout(total=BOUND))
        self.socket = await self.session.ws_connect(f"/ws?clientId={self.client_id}")
        self.hello = await self.frame()
        if self.flags is not None:
            await self.socket.send_json({"type": "feature_flags", "data": self.flags})
            self.answer = await self.frame()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self.session.close()

    async def frame(self) -> dict[str, Any]:
        """The next text frame."""
        while True:
            message = await self.socket.receive(BOUND)
            if message.type == aiohttp.WSMsgType.TEXT:
                return dict(json.loads(message.data))
            assert message.type == aiohttp.WSMsgType.BINARY, message

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(BOUND):
            while True:
                frame = await self.frame()
                if wanted(frame):
                    return frame

    async def get(self, path: str) -> Json:
        async with self.session.get(path) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def post(self, path: str, body: Json = None) -> tuple[int, Any]:
        async with self.session.post(path, json=body) as response:
            text = await response.text()
            return response.status, json.loads(text) if response.content_type == "application/json" else text

    async def submit(self, graph: Graph, **body: Json) -> str:
        status, answer = await self.post("/prompt", {"prompt": graph, "client_id": self.client_id, **body})
        assert status == 200, answer
        return str(answer["prompt_id"])

    async def follow(self, prompt_id: str) -> Run:
        """Reads frames until the worker is done with the prompt, then its history entry."""
        run = Run(prompt_id)
        async with asyncio.timeout(BOUND):
            while True:
                message = await self.socket.receive()
                if message.type == aiohttp.WSMsgType.BINARY:
                    run.previews.append(message.data)
                    run.order.append("preview")
                    continue
                assert message.type == aiohttp.WSMsgType.TEXT, message
                frame = json.loads(message.data)
                run.frames.append(frame)
                run.order.append(frame["type"])
                if frame["type"] == "executing" and frame["data"] == {"node": None, "prompt_id": prompt_id}:
                    break
        run.history = (await self.get(f"/history/{prompt_id}")).get(prompt_id, {})
        return run

    async def run(self, graph: Graph, **body: Json) -> Run:
        return await self.follow(await self.submit(graph, **body))

    async def started(self, prompt_id: str) -> None:
        """Waits for the first progress of a prompt's sampler."""
        await self.until(lambda f: f["type"] == "progress" and f["data"]["prompt_id"] == prompt_id)

    async def free(self, **flags: bool) -> None:
        """Asks to free memory, and waits until the idle worker has: a prompt sent at once could run before that."""
        assert (await self.post("/free", flags))[0] == 200
        async with asyncio.timeout(BOUND):
            used = 1
            while used:
                (device,) = (await self.get("/system_stats"))["devices"]
                used = device["vram_total"] - device["vram_free"]

    async def misbehave(self, **switches: Json) -> dict[str, Any]:
        status, answer = await self.post("/comfysim/misbehave", {"reset": True, **switches})
        assert status == 200, answer
        return dict(answer)


def node(kind: str, **inputs: Json) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def sd15(text: str = "a lighthouse", seed: Json = 1, steps: Json = 2, size: int = 64, **save: Json) -> Graph:
    """The text-to-image graph that everybody begins with, with its usual node ids."""
    return {
        "3": node(
            "KSampler",
            seed=seed,
            steps=steps,
            cfg=8.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
        ),
        "4": node("CheckpointLoaderSimple", ckpt_name="sd15.safetensors"),
        "5": node("EmptyLatentImage", width=size, height=size, batch_size=1),
        "6": node("CLIPTextEncode", text=text, clip=["4", 1]),
        "7": node("CLIPTextEncode", text="blurry", clip=["4", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0], **{"filename_prefix": "test/out", **save}),
    }


def flux(text: str = "a fox", seed: int = 1, steps: int = 2) -> Graph:
    """Flux' text-to-image graph with separately loaded parts."""
    return {
        "1": node("UNETLoader", unet_name="flux.safetensors", weight_dtype="default"),
        "2": node("DualCLIPLoader", clip_name1="clip_l.safetensors", clip_name2="t5.safetensors", type="flux"),
        "3": node("VAELoader", vae_name="ae.safetensors"),
        "4": node("CLIPTextEncode", text=text, clip=["2", 0]),
        "5": node("FluxGuidance", conditioning=["4", 0], guidance=3.5),
        "6": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        "10": node("ModelSamplingFlux", model=["1", 0], max_shift=1.15, base_shift=0.5, width=64, height=64),
        "11": node("BasicGuider", model=["10", 0], conditioning=["5", 0]),
        "12": node("RandomNoise", noise_seed=seed),
        "13": node("KSamplerSelect", sampler_name="euler"),
        "14": node("BasicScheduler", model=["10", 0], scheduler="simple", steps=steps, denoise=1.0),
        "15": node(
            "SamplerCustomAdvanced",
            noise=["12", 0],
            guider=["11", 0],
            sampler=["13", 0],
            sigmas=["14", 0],
            latent_image=["6", 0],
        ),
        "8": node("VAEDecode", samples=["15", 0], vae=["3", 0]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="flux"),
    }


def sdxl(text: str = "a castle") -> Graph:
    """SDXL with its refiner: two samplers that share the steps."""
    sizes = {"width": 64, "height": 64, "crop_w": 0, "crop_h": 0, "target_width": 64, "target_height": 64}
    sampler = {"noise_seed": 7, "steps": 4, "cfg": 7.0, "sampler_name": "euler", "scheduler": "karras"}
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="sd15.safetensors"),
        "2": node("CheckpointLoaderSimple", ckpt_name="sub/other.safetensors"),
        "3": node("CLIPTextEncodeSDXL", clip=["1", 1], text_g=text, text_l=text, **sizes),
        "4": node("CLIPTextEncodeSDXL", clip=["1", 1], text_g="", text_l="", **sizes),
        "5": node("CLIPTextEncodeSDXLRefiner", clip=["2", 1], ascore=6.0, width=64, height=64, text=text),
        "6": node("ConditioningZeroOut", conditioning=["5", 0]),
        "7": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "10": node(
            "KSamplerAdvanced",
            model=["1", 0],
            positive=["3", 0],
            negative=["4", 0],
            latent_image=["7", 0],
            add_noise="enable",
            start_at_step=0,
            end_at_step=3,
            return_with_leftover_noise="enable",
            **sampler,
        ),
        "11": node(
            "KSamplerAdvanced",
            model=["2", 0],
            positive=["5", 0],
            negative=["6", 0],
            latent_image=["10", 0],
            add_noise="disable",
            start_at_step=3,
            end_at_step=10000,
            return_with_leftover_noise="disable",
            **sampler,
        ),
        "8": node("VAEDecode", samples=["11", 0], vae=["2", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="sdxl"),
    }
