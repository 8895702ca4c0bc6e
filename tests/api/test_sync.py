"""The store sync's whole program, against a real API server and a real source on loopback; the tests play operator."""

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import MODEL_BUNDLE, Obj, name_of
from comfyard.store.lock import hold
from comfyard.sync import Settings, run
from hack.cluster.control_plane import ControlPlane
from tests.unit.agent.harness import SECONDS, Cable, eventually
from tests.unit.store.source_server import Source, noise, running, safetensors, sha256

pytestmark = pytest.mark.api

PATH = "checkpoints/x.safetensors"
MANAGER = "comfyard-sync"


class Bundles:
    """The bundles of a namespace: what a person and the operator write, and every state that the watch has told of."""

    def __init__(self, kube: LightkubeClient, namespace: str, audit_log: Path) -> None:
        self._kube = kube
        self._namespace = namespace
        self._audit_log = audit_log
        self._seen: list[Obj] = []
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator["Bundles"]:
        version = (await self._kube.list(MODEL_BUNDLE, self._namespace)).resource_version
        following = asyncio.create_task(self._follow(version))
        try:
            yield self
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def put(self, name: str, models: list[dict[str, Any]], claim: str = "models") -> None:
        """Create a bundle, or change its spec; its claim is named as the operator does it, a moment later."""
        meta = {"name": name, "namespace": self._namespace}
        await self._kube.apply(MODEL_BUNDLE, {"metadata": meta, "spec": {"models": models}})
        await self._kube.patch_status(MODEL_BUNDLE, name, self._namespace, {"claimName": claim})

    async def remove(self, name: str) -> None:
        await self._kube.delete(MODEL_BUNDLE, name, self._namespace)

    async def get(self, name: str) -> Obj:
        return await self._kube.get(MODEL_BUNDLE, name, self._namespace)

    async def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = (await self.get(name))["status"]
        return status

    async def states(self, name: str) -> list[tuple[str, str]]:
        return [(row["state"], row["reason"]) for row in (await self.status(name))["models"]]

    async def history(self, name: str) -> list[dict[str, Any]]:
        """Every status that a bundle has had."""
        version = (await self.get(name))["metadata"]["resourceVersion"]
        await self._until(lambda: any(obj["metadata"]["resourceVersion"] == version for obj in self._seen))
        return self._statuses(name)

    async def until_row(self, name: str, **fields: Any) -> dict[str, Any]:
        """Wait for the first row of a bundle to say so, however short."""

        def rows() -> list[dict[str, Any]]:
            first = [row for status in self._statuses(name) for row in status.get("models", [])[:1]]
            return [row for row in first if all(row.get(key) == value for key, value in fields.items())]

        await self._until(rows)
        return rows()[0]

    async def fields_by(self, manager: str, name: str) -> set[str]:
        """The fields of a status that a client has set, from the API server's own book of it."""
        book = (await self.get(name))["metadata"]["managedFields"]
        [fields] = [entry["fieldsV1"]["f:status"] for entry in book if entry["manager"] == manager]
        return {field.removeprefix("f:") for field in fields}

    def writes(self) -> int:
        """Requests that write a bundle, from the API server's audit log; it has those that change nothing, too."""
        lines = (json.loads(line) for line in self._audit_log.read_text().splitlines())
        return sum(
            line["objectRef"].get("namespace") == self._namespace
            and line["objectRef"]["resource"] == MODEL_BUNDLE.plural
            and line["stage"] == "ResponseComplete"
            for line in lines
        )

    def _statuses(self, name: str) -> list[dict[str, Any]]:
        return [obj["status"] for obj in self._seen if name_of(obj) == name]

    async def _follow(self, version: str) -> None:
        async for event in self._kube.watch(MODEL_BUNDLE, self._namespace, resource_version=version):
            self._seen.append(event.object)
            async with self._changed:
                self._changed.notify_all()

    async def _until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(SECONDS), self._changed:
            await self._changed.wait_for(lambda: bool(true()))


class Running:
    """The program on a directory."""

    def __init__(self, client: LightkubeClient, namespace: str, directory: Path) -> None:
        self.directory = directory
        self.task: asyncio.Task[int] | None = None
        self._client = client
        self._namespace = namespace

    def start(self, **settings: Any) -> asyncio.Task[int]:
        quick = {"report_seconds": 0.05, "linger_seconds": 0, "lock_seconds": 0, **settings}
        chosen = Settings(namespace=self._namespace, claim="models", store_directory=self.directory, **quick)
        self.task = asyncio.ensure_future(run(chosen, self._client))
        return self.task


@pytest.fixture
def source() -> Iterator[Source]:
    with running() as server:
        yield server


@pytest.fixture
async def bundles(kube: LightkubeClient, namespace: str, control_plane: ControlPlane) -> AsyncIterator[Bundles]:
    async with Bundles(kube, namespace, control_plane.audit_log).followed() as made:
        yield made


@pytest.fixture
async def cable(control_plane: ControlPlane) -> AsyncIterator[Cable]:
    """What the program, and nobody else, talks to the API server by."""
    made = Cable(int(control_plane.server.rpartition(":")[2]))
    await made.plug()
    yield made
    made.pull()


@pytest.fixture
async def program(tmp_path: Path, control_plane: ControlPlane, cable: Cable, namespace: str) -> AsyncIterator[Running]:
    kubeconfig = tmp_path / "kubeconfig"
    by_cable = f"https://127.0.0.1:{cable.port}"
    kubeconfig.write_text(control_plane.kubeconfig.read_text().replace(control_plane.server, by_cable))
    client = LightkubeClient.from_kubeconfig(kubeconfig, MANAGER)
    directory = tmp_path / "models"
    directory.mkdir()
    made = Running(client, namespace, directory)
    yield made
    if made.task and not made.task.done():
        made.task.cancel()
        await asyncio.wait([made.task])
    await client.close()


def model(url: str, content: bytes | None = None, path: str = PATH) -> dict[str, Any]:
    digest = {"sha256": sha256(content)} if content is not None else {}
    return {"path": path, "source": {"http": {"url": url}}, **digest}


async def test_what_bundles_want_is_there_and_reported(source: Source, bundles: Bundles, program: Running) -> None:
    one, two = safetensors(200_000), safetensors(300_000, seed=1)
    await bundles.put("pinned", [model(source.serve("one", one), one)])
    await bundles.put("open", [model(source.serve("two", two), path="loras/two.safetensors")])
    await bundles.put("elsewhere", [model(f"{source.base}/never")], claim="other")
    assert await program.start() == 0
    assert (program.directory / PATH).read_bytes() == one
    status = await bundles.status("open")
    assert status["models"] == [
        {
            "path": "loras/two.safetensors",
            "state": "Ready",
            "sha256": sha256(two),
            "size": len(two),
            "bytes": len(two),
            "reason": "",
            "message": "",
        }
    ]
    assert (status["syncedGeneration"], status["bytesPerSecond"], status["claimName"]) == (1, 0, "models")
    assert status["files"] == {"total": 1, "ready": 1}
    assert "models" not in await bundles.status("elsewhere")
    assert await bundles.fields_by(MANAGER, "open") <= {
        "syncedGeneration",
        "files",
        "bytes",
        "bytesPerSecond",
        "etaSeconds",
        "models",
    }


async def test_what_is_there_costs_neither_a_request_nor_a_write(
    source: Source, bundles: Bundles, program: Running
) -> None:
    content = safetensors(1000)
    await bundles.put("b", [model(source.serve("x", content), content)])
    assert await program.start() == 0
    writes = bundles.writes()
    assert await program.start() == 0
    assert bundles.writes() == writes > 2
    assert len(source.requests) == 1


async def test_failures_are_settled_and_tried_again_by_the_next_run(
    source: Source, bundles: Bundles, program: Running
) -> None:
    content = safetensors(1000)
    url = source.serve("x", b"something else")
    await bundles.put("b", [model(url, content), model(f"{source.base}/no", path="loras/no.bin")])
    assert await program.start() == 0
    assert await bundles.states("b") == [("Failed", "DigestMismatch"), ("Failed", "NotFound")]
    assert sha256(content) in (await bundles.status("b"))["models"][0]["message"]
    source.serve("x", content)
    assert await program.start() == 0
    assert await bundles.states("b") == [("Ready", ""), ("Failed", "NotFound")]


async def test_a_conflict_is_told_to_both(source: Source, bundles: Bundles, program: Running) -> None:
    one, two = safetensors(1000), safetensors(2000)
    await bundles.put("one", [model(source.serve("one", one), one)])
    await bundles.put("two", [model(source.serve("two", two), two)])
    assert await program.start() == 0
    assert await bundles.states("one") == await bundles.states("two") == [("Failed", "PathConflict")]
    assert source.requests == []
    await bundles.remove("two")
    assert await program.start() == 0
    assert await bundles.states("one") == [("Ready", "")]


async def test_a_change_stops_a_download_and_starts_another(source: Source, bundles: Bundles, program: Running) -> None:
    content = safetensors(1000)
    await bundles.put("b", [model(source.serve("slow", noise(3_000_000), stall_after=2_000_000))])
    task = program.start()
    await bundles.until_row("b", state="Fetching")
    await bundles.put("b", [model(source.serve("x", content), content)])
    assert await task == 0
    assert (await bundles.status("b"))["syncedGeneration"] == 2
    assert await bundles.states("b") == [("Ready", "")]
    assert list((program.directory / ".comfyard/partial").iterdir()) == []


async def test_a_bundle_that_goes_takes_its_download_along(source: Source, bundles: Bundles, program: Running) -> None:
    await bundles.put("b", [model(source.serve("slow", noise(3_000_000), stall_after=2_000_000))])
    task = program.start()
    await bundles.until_row("b", state="Fetching")
    await bundles.remove("b")
    assert await task == 0
    assert list((program.directory / ".comfyard/partial").iterdir()) == []


async def test_a_bundle_that_comes_while_it_lingers_is_served(
    source: Source, bundles: Bundles, program: Running
) -> None:
    content = safetensors(1000)
    task = program.start(linger_seconds=600)
    await bundles.put("b", [model(source.serve("x", content), content)])
    await bundles.until_row("b", state="Ready")
    assert not task.done()


async def test_trouble_that_passes_is_shown_meanwhile(source: Source, bundles: Bundles, program: Running) -> None:
    content = safetensors(1000)
    url = source.serve("x", content, answers=[(429, {"Retry-After": "1"})])
    await bundles.put("b", [model(url, content)])
    task = program.start()
    row = await bundles.until_row("b", state="Pending", reason="RateLimited")
    assert "next try in 1 s" in row["message"]
    assert await task == 0
    assert await bundles.states("b") == [("Ready", "")]


async def test_bytes_are_told_now_and_then(source: Source, bundles: Bundles, program: Running) -> None:
    content = noise(3_000_000)
    url = source.serve("x", content, rate=3_000_000)
    await bundles.put("b", [model(url, content)])
    start = time.monotonic()
    assert await program.start(report_seconds=0.3) == 0
    took = time.monotonic() - start
    history = await bundles.history("b")
    fetching = [status for status in history if "models" in status and status["models"][0]["state"] == "Fetching"]
    assert 2 <= len(fetching) <= took / 0.3 + 2
    assert any(status["bytesPerSecond"] > 0 and "etaSeconds" in status for status in fetching)
    assert history[-1]["bytesPerSecond"] == 0
    assert "etaSeconds" not in history[-1]


async def test_without_the_api_server_it_goes_on(
    source: Source, bundles: Bundles, program: Running, cable: Cable, caplog: pytest.LogCaptureFixture
) -> None:
    content = safetensors(3_000_000)
    pulled = threading.Event()
    url = source.serve("x", content, on_sent=lambda sent: sent < 2_000_000 or pulled.wait(SECONDS))
    await bundles.put("b", [model(url, content)])
    task = program.start()
    await bundles.until_row("b", state="Fetching")
    cable.pull()
    pulled.set()

    async def fetched_and_refused() -> bool:
        return "cannot report on bundle b" in caplog.text and (program.directory / PATH).exists()

    await eventually(fetched_and_refused)
    assert not task.done()
    await cable.plug()
    assert await task == 0
    assert await bundles.states("b") == [("Ready", "")]


async def test_sigterm_keeps_what_there_is(source: Source, bundles: Bundles, program: Running) -> None:
    content = noise(3_000_000)
    url = source.serve("x", content, stall_after=2_500_000)
    await bundles.put("b", [model(url, content)])
    task = program.start()
    await bundles.until_row("b", state="Fetching")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await task == 143
    source.files["x"].stall_after = None
    assert await program.start() == 0
    assert source.requests[-1]["Range"].startswith("bytes=")


async def test_a_second_writer_gives_up(program: Running, caplog: pytest.LogCaptureFixture) -> None:
    (program.directory / ".comfyard").mkdir()
    async with hold(program.directory / ".comfyard/lock", 0):
        assert await program.start() == 1
    assert "look for a second pod" in caplog.text
