"""The whole program, against a stand-in for the API server and a real source on loopback."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from comfyard.store.lock import hold
from comfyard.sync import Settings, run
from tests.unit.store.source_server import Source, noise, running, safetensors, sha256
from tests.unit.sync.memory_api import MemoryApi

PATH = "checkpoints/x.safetensors"


@pytest.fixture
def source() -> Iterator[Source]:
    with running() as server:
        yield server


class Running:
    """The program on a directory."""

    def __init__(self, directory: Path) -> None:
        self.api = MemoryApi()
        self.directory = directory
        self.task: asyncio.Task[int] | None = None

    def start(self, **settings: Any) -> asyncio.Task[int]:
        quick = {"report_seconds": 0.05, "linger_seconds": 0, "lock_seconds": 0, **settings}
        chosen = Settings(namespace="studio", claim="models", store_directory=self.directory, **quick)
        self.task = asyncio.ensure_future(run(chosen, self.api))
        return self.task


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Running]:
    made = Running(tmp_path)
    yield made
    if made.task and not made.task.done():
        made.task.cancel()
        await asyncio.wait([made.task])


def model(url: str, content: bytes | None = None, path: str = PATH) -> dict[str, Any]:
    digest = {"sha256": sha256(content)} if content is not None else {}
    return {"path": path, "source": {"http": {"url": url}}, **digest}


def states(api: MemoryApi, name: str) -> list[tuple[str, str]]:
    return [(row["state"], row["reason"]) for row in api.status(name)["models"]]


async def test_what_bundles_want_is_there_and_reported(source: Source, program: Running) -> None:
    one, two = safetensors(200_000), safetensors(300_000, seed=1)
    await program.api.put("pinned", [model(source.serve("one", one), one)])
    await program.api.put("open", [model(source.serve("two", two), path="loras/two.safetensors")])
    await program.api.put("elsewhere", [model(f"{source.base}/never")], claim="other")
    assert await program.start() == 0
    assert (program.directory / PATH).read_bytes() == one
    status = program.api.status("open")
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
    assert "models" not in program.api.status("elsewhere")
    assert {key for _, patch in program.api.patches for key in patch} == {
        "syncedGeneration",
        "files",
        "bytes",
        "bytesPerSecond",
        "etaSeconds",
        "models",
    }


async def test_what_is_there_costs_neither_a_request_nor_a_write(source: Source, program: Running) -> None:
    content = safetensors(1000)
    await program.api.put("b", [model(source.serve("x", content), content)])
    assert await program.start() == 0
    writes = len(program.api.patches)
    assert await program.start() == 0
    assert len(program.api.patches) == writes
    assert len(source.requests) == 1


async def test_failures_are_settled_and_tried_again_by_the_next_run(source: Source, program: Running) -> None:
    content = safetensors(1000)
    url = source.serve("x", b"something else")
    await program.api.put("b", [model(url, content), model(f"{source.base}/no", path="loras/no.bin")])
    assert await program.start() == 0
    assert states(program.api, "b") == [("Failed", "DigestMismatch"), ("Failed", "NotFound")]
    assert sha256(content) in program.api.status("b")["models"][0]["message"]
    source.serve("x", content)
    assert await program.start() == 0
    assert states(program.api, "b") == [("Ready", ""), ("Failed", "NotFound")]


async def test_a_conflict_is_told_to_both(source: Source, program: Running) -> None:
    one, two = safetensors(1000), safetensors(2000)
    await program.api.put("one", [model(source.serve("one", one), one)])
    await program.api.put("two", [model(source.serve("two", two), two)])
    assert await program.start() == 0
    assert states(program.api, "one") == states(program.api, "two") == [("Failed", "PathConflict")]
    assert source.requests == []
    await program.api.remove("two")
    assert await program.start() == 0
    assert states(program.api, "one") == [("Ready", "")]


async def test_a_change_stops_a_download_and_starts_another(source: Source, program: Running) -> None:
    content = safetensors(1000)
    await program.api.put("b", [model(source.serve("slow", noise(3_000_000), stall_after=2_000_000))])
    task = program.start()
    await program.api.until_row("b", state="Fetching")
    await program.api.put("b", [model(source.serve("x", content), content)])
    assert await task == 0
    assert program.api.status("b")["syncedGeneration"] == 2
    assert states(program.api, "b") == [("Ready", "")]
    assert list((program.directory / ".comfyard/partial").iterdir()) == []


async def test_a_bundle_that_goes_takes_its_download_along(source: Source, program: Running) -> None:
    await program.api.put("b", [model(source.serve("slow", noise(3_000_000), stall_after=2_000_000))])
    task = program.start()
    await program.api.until_row("b", state="Fetching")
    await program.api.remove("b")
    assert await task == 0
    assert list((program.directory / ".comfyard/partial").iterdir()) == []


async def test_a_bundle_that_comes_while_it_lingers_is_served(source: Source, program: Running) -> None:
    content = safetensors(1000)
    task = program.start(linger_seconds=600)
    await program.api.put("b", [model(source.serve("x", content), content)])
    await program.api.until_row("b", state="Ready")
    assert not task.done()


async def test_trouble_that_passes_is_shown_meanwhile(source: Source, program: Running) -> None:
    content = safetensors(1000)
    url = source.serve("x", content, answers=[(429, {"Retry-After": "1"})])
    await program.api.put("b", [model(url, content)])
    task = program.start()
    row = await program.api.until_row("b", state="Pending", reason="RateLimited")
    assert "next try in 1 s" in row["message"]
    assert await task == 0
    assert states(program.api, "b") == [("Ready", "")]


async def test_bytes_are_told_now_and_then(source: Source, program: Running) -> None:
    content = noise(3_000_000)
    url = source.serve("x", content, rate=3_000_000)
    await program.api.put("b", [model(url, content)])
    start = time.monotonic()
    assert await program.start(report_seconds=0.3) == 0
    took = time.monotonic() - start
    fetching = [patch for _, patch in program.api.patches if patch["models"][0]["state"] == "Fetching"]
    assert 2 <= len(fetching) <= took / 0.3 + 2
    assert any(patch["bytesPerSecond"] > 0 and patch["etaSeconds"] is not None for patch in fetching)
    assert program.api.status("b")["bytesPerSecond"] == 0
    assert "etaSeconds" not in program.api.status("b")


async def test_without_the_api_server_it_goes_on(source: Source, program: Running) -> None:
    content = safetensors(3_000_000)
    url = source.serve("x", content, rate=6_000_000)
    await program.api.put("b", [model(url, content)])
    task = program.start()
    await program.api.until_row("b", state="Fetching")
    program.api.away = True
    await program.api.until(lambda: program.api.refused and (program.directory / PATH).exists())
    assert not task.done()
    program.api.away = False
    assert await task == 0
    assert states(program.api, "b") == [("Ready", "")]


async def test_sigterm_keeps_what_there_is(source: Source, program: Running) -> None:
    content = noise(3_000_000)
    url = source.serve("x", content, stall_after=2_500_000)
    await program.api.put("b", [model(url, content)])
    task = program.start()
    await program.api.until_row("b", state="Fetching")
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


async def test_what_cannot_be_read_does_not_hold_up_others(source: Source, program: Running) -> None:
    content = safetensors(1000)
    await program.api.put("bad", [{"path": "../x", "source": {}}])
    await program.api.put("good", [model(source.serve("x", content), content)])
    assert await program.start() == 0
    assert states(program.api, "good") == [("Ready", "")]
    assert "models" not in program.api.status("bad")
