"""The agent as a process, beside a stand-in ComfyUI, in front of a real API server; the tests play the operator."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2

from comfyard.api.conditions import timestamp
from comfyard.api.generation_job import GenerationJob
from comfyard.controller.resources.access import AGENT, Named, build_access
from comfyard.kube.client import LightkubeClient
from comfyard.kube.informer import Informer
from comfyard.kube.kinds import CONTROLLER_REVISION, GENERATION_JOB
from comfyard.runtime.context import now
from comfyard.workflow.prompts import prompt_id
from hack.cluster.control_plane import ControlPlane
from hack.cluster.process import free_port
from tests.conftest import Kubectl
from tests.unit.comfysim.harness import Sim, node, popen, sd15

SECONDS = 40.0
SERVER = "l4-pool-7xk2p"
CLAIM = "results"
IMAGE = "ghcr.io/example/comfyui:0.3.64"


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that nobody announces."""
    async with asyncio.timeout(SECONDS):
        while not await check():  # noqa: ASYNC110 - another process, or a file
            await asyncio.sleep(0.05)


def template_spec(batch: int) -> dict[str, Any]:
    graph = sd15("{{prompt}}", seed="{{seed}}", steps="{{steps}}")
    graph["5"]["inputs"]["batch_size"] = batch
    return {
        "graph": graph,
        "parameters": [
            {"name": "prompt", "type": "String", "required": True},
            {"name": "steps", "type": "Integer", "default": 2},
            {"name": "seed", "type": "Seed"},
        ],
        "outputs": [{"name": "image", "node": "9"}],
    }


def photo_spec() -> dict[str, Any]:
    """A picture from a picture; the mask is saved beside it."""
    spec = template_spec(1)
    spec["graph"] |= {
        "5": node("VAEEncode", pixels=["20", 0], vae=["4", 2]),
        "20": node("LoadImage", image="{{photo}}"),
        "21": node("LoadImageMask", image="placeholder.png", channel="red"),
        "22": node("MaskToImage", mask=["21", 0]),
        "23": node("SaveImage", images=["22", 0], filename_prefix="mask"),
    }
    spec["parameters"] += [
        {"name": "photo", "type": "Image", "required": True},
        {"name": "shape", "type": "Mask", "required": True, "targets": [{"node": "21", "input": "image"}]},
    ]
    spec["outputs"].append({"name": "mask", "node": "23"})
    return spec


def media_spec() -> dict[str, Any]:
    """A film, a sound, a moving picture, a latent and a text."""
    spec = template_spec(2)
    how = {"fps": 8.0, "lossless": True, "quality": 80, "method": "fastest"}
    spec["graph"] |= {
        "9": node("SaveAnimatedWEBP", images=["8", 0], filename_prefix="moving", **how),
        "10": node("SaveLatent", samples=["3", 0], filename_prefix="latent"),
        "11": node("PreviewAny", source="{{prompt}}"),
        "12": node("LoadVideo", file="{{film}}"),
        "13": node("SaveVideo", video=["12", 0], filename_prefix="film", format="auto", codec="auto"),
        "14": node("LoadAudio", audio="{{song}}"),
        "15": node("SaveAudio", audio=["14", 0], filename_prefix="song"),
    }
    spec["parameters"] += [{"name": "film", "type": "Video"}, {"name": "song", "type": "Audio"}]
    names = {"moving": "9", "latent": "10", "text": "11", "film": "13", "song": "15"}
    spec["outputs"] = [{"name": name, "node": node_id} for name, node_id in names.items()]
    return spec


def templates() -> dict[str, dict[str, Any]]:
    """By revision."""
    made = {"t-1": template_spec(1), "t-batch": template_spec(3), "t-many": template_spec(130)}
    return made | {"t-photo": photo_spec(), "t-media": media_spec()}


@dataclass
class Agent:
    """`comfyard agent`, which may be killed and started again."""

    folder: Path
    kubeconfig: Path
    namespace: str
    comfyui_url: str
    comfyui: Path
    more: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def termination(self) -> Path:
        """What kubelet would mount at /dev/termination-log."""
        return self.folder / "termination-log"

    @property
    def claims(self) -> Path:
        """Where claims for inputs are mounted."""
        return self.folder / "claims"

    def start(self, **more: str) -> None:
        """Start it; `more` are settings without their prefix."""
        self.more |= more
        for path in (self.results, self.run, self.claims):
            path.mkdir(exist_ok=True)
        self.termination.write_text("")
        settings = {
            "NAMESPACE": self.namespace,
            "SERVER": SERVER,
            "GPUS": "2",
            "COMFYUI_URL": self.comfyui_url,
            "IMAGE": IMAGE,
            "OUTPUT_DIRECTORY": str(self.comfyui / "output"),
            "INPUT_DIRECTORY": str(self.comfyui / "input"),
            "INPUTS_DIRECTORY": str(self.claims),
            "RESULTS_DIRECTORY": str(self.results),
            "RESULTS_CLAIM": CLAIM,
            "RUN_DIRECTORY": str(self.run),
            "TERMINATION_LOG": str(self.termination),
            "PORT": str(self.port),
            **self.more,
        }
        environment = {f"COMFYARD_{name}": value for name, value in settings.items()}
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "comfyard", "agent"],
                env={**os.environ, **environment, "KUBECONFIG": str(self.kubeconfig)},
                stderr=log,
            )

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def wait(self) -> int:
        assert self.process
        return self.process.wait(SECONDS)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        self.send(number)
        return self.wait()

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.end()

    def use_server(self, url: str, plane: ControlPlane) -> None:
        """Talk to the API server by another address."""
        text = self.kubeconfig.read_text().replace(plane.server, url)
        self.kubeconfig = self.folder / "kubeconfig-by-cable"
        self.kubeconfig.write_text(text)

    def break_results(self) -> None:
        """Nothing can be stored any more."""
        shutil.rmtree(self.results)
        self.results.write_text("not a folder")

    def mend_results(self) -> None:
        self.results.unlink()
        self.results.mkdir()

    async def until_marked(self, name: str) -> None:
        async def check() -> bool:
            return (self.run / name).exists()

        await eventually(check)

    async def until_logged(self, text: str) -> None:
        async def check() -> bool:
            return text in (self.folder / "agent.log").read_text()

        await eventually(check)

    async def until_stored(self, count: int) -> None:
        async def check() -> bool:
            return len(list(self.results.rglob("*.png"))) >= count

        await eventually(check)

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text of an answer; 0 while nobody listens."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            try:
                answer = await http.get(f"http://127.0.0.1:{self.port}{path}")
            except httpx2.TransportError:
                return 0, ""
        return answer.status_code, answer.text

    async def until_ready(self, status: int = 200) -> str:
        reason = ""

        async def check() -> bool:
            nonlocal reason
            found, reason = await self.get("/readyz")
            return found == status

        await eventually(check)
        return reason


class Studio:
    """A namespace with a template and jobs."""

    def __init__(self, kube: LightkubeClient, namespace: str, agent: Agent, sim: Sim) -> None:
        self.kube = kube
        self.namespace = namespace
        self.agent = agent
        self.sim = sim
        self.informer = Informer(kube, GENERATION_JOB, namespace)

    async def prepare(self) -> None:
        for name, spec in templates().items():
            data = {"spec": spec}
            meta = {"name": name, "namespace": self.namespace}
            await self.kube.create(CONTROLLER_REVISION, {"metadata": meta, "data": data, "revision": 1})

    async def order(
        self,
        name: str = "lighthouse",
        prompt: str = "a lighthouse",
        steps: int = 2,
        revision: str = "t-1",
        server: str = SERVER,
        stored: Sequence[int] = (),
        status: Mapping[str, Any] = MappingProxyType({}),
        **spec: Any,
    ) -> str:
        """Create a job and assign it, as the operator does, to no server if that is empty; returns its uid."""
        meta = {"name": name, "namespace": self.namespace}
        whole = {"template": {"name": "t"}, "profiles": ["l4"], **spec}
        made = await self.kube.create(GENERATION_JOB, {"metadata": meta, "spec": whole})
        about = {"name": "image", "uri": "claim://x/y", "sha256": "a" * 64, "bytes": 1, "contentType": "image/png"}
        accepted = {
            "template": {"revision": revision, "digest": f"sha256:{revision}"},
            "parameters": {"prompt": prompt, "steps": steps},
            "seed": "18446744073709551614",
            "usage": {"queuedSeconds": 3},
            "outputs": [{**about, "index": index} for index in stored],
            **({"output": spec["output"]} if "output" in spec else {}),
            **status,
        }
        await self.kube.patch_status(GENERATION_JOB, name, self.namespace, accepted)
        if server:
            await self.assign(name, server)
        return str(made["metadata"]["uid"])

    async def assign(self, name: str = "lighthouse", server: str = SERVER, time: str = "") -> None:
        time = time or timestamp(now())
        assignment = {"id": str(uuid.uuid4()), "server": server, "profile": "l4", "time": time}
        status = {"state": "Assigned", "assignment": assignment}
        await self.kube.patch_status(GENERATION_JOB, name, self.namespace, status)

    async def fail(self, name: str, reason: str) -> None:
        """End a job for good, as the operator does: without its assignment."""
        failed = {
            "type": "Failed",
            "status": "True",
            "reason": reason,
            "message": "",
            "lastTransitionTime": timestamp(now()),
        }
        status = {"state": "Failed", "conditions": [failed], "assignment": None}
        await self.kube.patch_status(GENERATION_JOB, name, self.namespace, status)

    async def suspend(self, name: str) -> None:
        await self.kube.apply(
            GENERATION_JOB, {"metadata": {"name": name, "namespace": self.namespace}, "spec": {"suspend": True}}
        )

    @contextlib.contextmanager
    def restarted_sim(self) -> Iterator[None]:
        """ComfyUI's container, restarted."""
        if self.sim.process.poll() is None:
            self.sim.end()
        with restarted(self.sim):
            yield

    async def until(self, wanted: Callable[[GenerationJob], bool], name: str = "lighthouse") -> GenerationJob:
        async with asyncio.timeout(SECONDS):
            while True:
                obj = self.informer.objects.get(name)
                if obj and wanted(job := GenerationJob.model_validate(obj)):
                    return job
                await self.informer.changed()

    async def now(self, name: str = "lighthouse") -> GenerationJob:
        """The job as it is, whatever was heard of it so far: nothing is while a test waits for a process."""
        return GenerationJob.model_validate(await self.kube.get(GENERATION_JOB, name, self.namespace))

    async def end_of_attempt(self, name: str = "lighthouse", number: int = 1) -> GenerationJob:
        return await self.until(lambda job: len(job.status.attempts) == number, name)

    def prompt_id(self, uid: str, index: int = 0, attempt: int = 0) -> str:
        return prompt_id(uid, attempt, index)

    async def comfy(self, method: str, path: str, **more: Any) -> Any:
        async with httpx2.AsyncClient(base_url=self.sim.url, trust_env=False) as http:
            return (await http.request(method, path, **more)).json()

    async def executions(self) -> list[str]:
        """Ids of the prompts that ComfyUI began, in order."""
        record = (await self.comfy("GET", "/comfysim/record"))["record"]
        return [line["prompt_id"] for line in record if line["event"] == "start"]

    async def record(self) -> list[dict[str, Any]]:
        """The ends of executions, in order: nodes that were run, steps, outcome, seconds."""
        record = (await self.comfy("GET", "/comfysim/record"))["record"]
        return [line for line in record if line["event"] == "end"]

    async def until_rendering(self, own: str) -> None:
        async def check() -> bool:
            return own in await self.executions()

        await eventually(check)

    async def until_pending(self, own: str) -> None:
        async def check() -> bool:
            queue = await self.comfy("GET", "/queue")
            return own in [item[1] for item in queue["queue_pending"]]

        await eventually(check)

    async def until_idle(self) -> None:
        async def check() -> bool:
            queue = await self.comfy("GET", "/queue")
            return not queue["queue_running"] and not queue["queue_pending"]

        await eventually(check)


@contextlib.contextmanager
def restarted(sim: Sim) -> Iterator[None]:
    """The same server once more on the same port."""
    env = {"COMFYSIM_STEP_SECONDS": "0.02", "COMFYSIM_PROMPT_SWITCHES": "1"}
    with popen(sim.base, port=sim.port, **env) as process:
        try:
            yield
        finally:
            process.kill()


@contextlib.asynccontextmanager
async def opened(studio: Studio) -> AsyncIterator[Studio]:
    await studio.prepare()
    following = asyncio.create_task(studio.informer.run())
    try:
        yield studio
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


class Cable:
    """A connection to the API server that can be pulled out and plugged in again."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def plug(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def pull(self) -> None:
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, other_writer}
        await asyncio.gather(_pump(reader, other_writer), _pump(other_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


async def give_access(kube: LightkubeClient, namespace: str) -> None:
    """What the operator applies before it makes a server, for jobs that name the Secret s3."""
    for kind, obj in build_access(namespace, Named(job_secrets=["s3"])):
        await kube.apply(kind, obj)


def kubeconfig_for(plane: ControlPlane, kubectl: Kubectl, namespace: str, folder: Path, account: str = AGENT) -> Path:
    """A program's own identity: a token of its ServiceAccount."""
    token = kubectl("create", "token", account, f"--namespace={namespace}").strip()
    return plane.kubeconfig_with(token, folder / "kubeconfig")
