"""The store sync's whole program: fetches, reports, goes on without the API server, ends when all is settled."""

import os
import signal
import threading
import time
from datetime import UTC, datetime

import pytest

from comfyard.api.attempts import parse_time
from comfyard.controller.resources.access import SYNC
from comfyard.store.lock import hold
from tests.api.sync.harness import PATH, Bundles, Running, model
from tests.unit.agent.harness import SECONDS, Cable, eventually
from tests.unit.store.headers import LORA_KOHYA, model_file
from tests.unit.store.source_server import Source, noise, safetensors, sha256

pytestmark = pytest.mark.api


async def test_what_bundles_want_is_there_and_reported(source: Source, bundles: Bundles, program: Running) -> None:
    one, two = safetensors(200_000), model_file(*LORA_KOHYA, shape=(100, 500))
    await bundles.put("pinned", [model(source.serve("one", one), one)])
    await bundles.put("open", [model(source.serve("two", two), path="loras/two.safetensors")])
    await bundles.apply("elsewhere", [model(f"{source.base}/never")])
    await bundles.observe("elsewhere", claimName="other")
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
            "bytesPerSecond": 0,
            "reason": "",
            "message": "",
            "kind": "Lora",
            "tensorBytes": 300_000,
            "dtype": "F16",
        }
    ]
    assert parse_time(status["verifiedTime"]) <= datetime.now(UTC)
    assert (status["syncedGeneration"], status["bytesPerSecond"], status["claimName"]) == (1, 0, "models")
    assert status["files"] == {"total": 1, "ready": 1}
    assert "models" not in await bundles.status("elsewhere")
    assert await bundles.fields_by(SYNC, "open") <= {
        "syncedGeneration",
        "files",
        "bytes",
        "bytesPerSecond",
        "etaSeconds",
        "models",
        "customNodes",
        "verifiedTime",
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
    await bundles.put("b", [model(url, content), model(f"{source.base}/no", path="loras/no.safetensors")])
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
    assert program.unfinished == []


async def test_a_bundle_that_goes_takes_its_download_along(source: Source, bundles: Bundles, program: Running) -> None:
    await bundles.put("b", [model(source.serve("slow", noise(3_000_000), stall_after=2_000_000))])
    task = program.start()
    await bundles.until_row("b", state="Fetching")
    await bundles.remove("b")
    assert await task == 0
    assert program.unfinished == []


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
    assert any(row["bytesPerSecond"] > 0 and "etaSeconds" in row for status in fetching for row in status["models"])
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
