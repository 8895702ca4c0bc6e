"""What becomes of files when bundles change: pause, resume, drop, re-point, delete; and while jobs run with them."""

from typing import Any

import pytest

from tests.api.sync.harness import PATH, Bundles, Running, model
from tests.unit.agent.harness import eventually
from tests.unit.store.source_server import Source, safetensors, sha256

pytestmark = pytest.mark.api

OTHER = "loras/y.safetensors"


async def test_a_change_counts_when_the_operator_has_seen_it(
    source: Source, bundles: Bundles, program: Running
) -> None:
    one, two, three = (safetensors(1000, seed) for seed in range(3))
    await bundles.put("b", [model(source.serve("one", one), one)])
    task = program.start(linger_seconds=600)
    await bundles.until_row("b", state="Ready")
    await bundles.apply("b", [model(source.serve("two", two), two)])
    await bundles.put("later", [model(source.serve("three", three), three, OTHER)])
    await bundles.until_row("later", state="Ready")
    assert (await bundles.status("b"))["syncedGeneration"] == 1
    assert (program.directory / PATH).read_bytes() == one
    await bundles.observe("b")
    await bundles.until_row("b", state="Ready", sha256=sha256(two))
    assert (program.directory / PATH).read_bytes() == two
    assert not task.done()


async def test_suspension_stops_a_download_and_keeps_what_there_is(
    source: Source, bundles: Bundles, program: Running
) -> None:
    there, coming = safetensors(1000), safetensors(3_000_000, seed=1)
    slow = model(source.serve("slow", coming, stall_after=2_500_000), coming, OTHER)
    await bundles.put("b", [slow, model(source.serve("x", there), there)])
    task = program.start()
    await bundles.until_row("b", state="Fetching")
    await bundles.put("b", [slow, model(source.serve("x", there), there)], suspend=True)
    assert await task == 0
    status = await bundles.status("b")
    assert await bundles.states("b") == [("Pending", "Suspended"), ("Ready", "")]
    assert (status["syncedGeneration"], status["files"]) == (2, {"total": 2, "ready": 1})
    assert program.unfinished == [".journal", ".part"]
    source.files["slow"].stall_after = None
    await bundles.put("b", [slow, model(source.serve("x", there), there)])
    assert await program.start() == 0
    assert await bundles.states("b") == [("Ready", ""), ("Ready", "")]
    assert source.requests[-1]["Range"].startswith("bytes=")


async def test_what_another_bundle_wants_is_fetched_for_a_suspended_one_too(
    source: Source, bundles: Bundles, program: Running
) -> None:
    content = safetensors(1000)
    wanted = model(source.serve("x", content), content)
    await bundles.put("paused", [wanted], suspend=True)
    assert await program.start() == 0
    assert source.requests == []
    await bundles.put("other", [wanted])
    assert await program.start() == 0
    assert await bundles.states("paused") == await bundles.states("other") == [("Ready", "")]


async def test_what_two_bundles_share_is_there_once_and_goes_with_the_last(
    source: Source, bundles: Bundles, program: Running
) -> None:
    content = safetensors(1000)
    wanted = model(source.serve("x", content), content)
    for name in ("one", "two"):
        await bundles.put(name, [wanted], deletionPolicy="Delete")
    assert await program.start() == 0
    assert len(source.requests) == 1
    await bundles.remove("one")
    await bundles.observe("one")
    assert await program.start() == 0
    assert (program.directory / PATH).read_bytes() == content
    assert (await bundles.status("one"))["models"] == []
    await bundles.release("one")
    await bundles.remove("two")
    await bundles.observe("two")
    assert await program.start() == 0
    assert not (program.directory / PATH).exists()
    assert program.contents == set()
    status = await bundles.status("two")
    assert (status["models"], status["syncedGeneration"]) == ([], 2)
    assert await bundles.events("one") == []
    [(kind, reason, message)] = await bundles.events("two")
    assert (kind, reason) == ("Normal", "Removed")
    assert message.startswith(f"{PATH} was removed")


async def test_policy_retain_leaves_files_and_policy_delete_those_of_others(
    source: Source, bundles: Bundles, program: Running
) -> None:
    content, third = safetensors(1000), safetensors(1000, seed=1)
    wanted = model(source.serve("x", content), content)
    common = model(source.serve("third", third), third, "vae/z.safetensors")
    await bundles.put("kept", [wanted, common])
    await bundles.put("gone", [{**wanted, "path": OTHER}, common], deletionPolicy="Delete")
    assert await program.start() == 0
    (program.directory / OTHER).unlink()
    (program.directory / OTHER).write_bytes(b"somebody else's")
    await bundles.put("kept", [common])
    await bundles.put("gone", [common], deletionPolicy="Delete")
    assert await program.start() == 0
    assert (program.directory / PATH).read_bytes() == content
    assert (program.directory / OTHER).read_bytes() == b"somebody else's"
    for name in ("kept", "gone"):
        assert [row["path"] for row in (await bundles.status(name))["models"]] == ["vae/z.safetensors"]
    retained = {(file.path, file.kind) for file in (await bundles.inventory()).files}
    assert retained == {(PATH, "Retained"), (OTHER, "Unknown")}


async def test_what_hardware_does_not_want_any_more_goes(source: Source, bundles: Bundles, program: Running) -> None:
    one, two = safetensors(1000), safetensors(1000, seed=1)
    models = [model(source.serve("one", one), one), model(source.serve("two", two), two, OTHER)]
    await bundles.put("b", models, deletionPolicy="Delete")
    assert await program.start() == 0
    await bundles.observe("b", skipped=[PATH])
    assert await program.start() == 0
    assert not (program.directory / PATH).exists()
    assert [row["path"] for row in (await bundles.status("b"))["models"]] == [OTHER]


async def test_what_was_replaced_is_not_kept(source: Source, bundles: Bundles, program: Running) -> None:
    one, two = safetensors(1000), safetensors(1000, seed=1)
    await bundles.put("b", [model(source.serve("one", one), one)])
    assert await program.start() == 0
    await bundles.put("b", [model(source.serve("two", two), two)])
    assert await program.start() == 0
    assert program.contents == {sha256(two)}


async def test_nothing_is_removed_while_a_bundle_is_not_known(
    source: Source, bundles: Bundles, program: Running
) -> None:
    content = safetensors(1000)
    wanted = model(source.serve("x", content), content)
    await bundles.put("going", [wanted], deletionPolicy="Delete")
    assert await program.start() == 0
    await bundles.remove("going")
    await bundles.observe("going")
    await bundles.apply("new", [wanted])
    task = program.start()
    row = await bundles.until_row("going", state="Pending", reason="Removing")
    assert row["message"] == "it is removed when it is known what new needs"
    assert (program.directory / PATH).exists()
    await bundles.observe("new")
    assert await task == 0
    assert (program.directory / PATH).exists()
    assert await bundles.states("new") == [("Ready", "")]
    assert (await bundles.status("going"))["models"] == []


async def test_what_jobs_run_with_is_neither_removed_nor_replaced(
    source: Source, bundles: Bundles, program: Running
) -> None:
    one, two, other = (safetensors(1000, seed) for seed in range(3))
    dropped = model(source.serve("other", other), other, OTHER)
    await bundles.put("b", [model(source.serve("one", one), one), dropped], deletionPolicy="Delete")
    assert await program.start() == 0
    await bundles.apply("b", [model(source.serve("two", two), two)], deletionPolicy="Delete")
    await bundles.observe("b", inUse=True)
    task = program.start()

    async def fetched() -> bool:
        rows = await bundles.states("b")
        return sha256(two) in program.contents and rows == [("Pending", "InUse"), ("Pending", "InUse")]

    await eventually(fetched)
    status = await bundles.status("b")
    assert status["files"] == {"total": 1, "ready": 0}
    assert [row["sha256"] for row in status["models"]] == [sha256(one), sha256(other)]
    assert (program.directory / PATH).read_bytes() == one
    assert (program.directory / OTHER).read_bytes() == other
    assert not task.done()
    await bundles.observe("b", inUse=False)
    assert await task == 0
    assert (program.directory / PATH).read_bytes() == two
    assert not (program.directory / OTHER).exists()
    assert await bundles.states("b") == [("Ready", "")]
    assert program.contents == {sha256(two)}


async def test_a_deleted_bundle_keeps_its_files_as_long_as_jobs_run(
    source: Source, bundles: Bundles, program: Running
) -> None:
    content = safetensors(1000)
    await bundles.put("b", [model(source.serve("x", content), content)], deletionPolicy="Delete")
    assert await program.start() == 0
    await bundles.remove("b")
    await bundles.observe("b", inUse=True)
    task = program.start()
    await bundles.until_row("b", state="Pending", reason="InUse")
    assert (program.directory / PATH).read_bytes() == content
    await bundles.observe("b", inUse=False)
    assert await task == 0
    assert not (program.directory / PATH).exists()


async def test_a_file_gives_way_to_a_folder(source: Source, bundles: Bundles, program: Running) -> None:
    content = safetensors(1000)

    def at(path: str) -> list[dict[str, Any]]:
        return [model(source.serve("x", content), content, path)]

    await bundles.put("b", at("loras/a"), deletionPolicy="Delete")
    assert await program.start() == 0
    await bundles.put("b", at("loras/a/b"), deletionPolicy="Delete")
    assert await program.start() == 0
    assert (program.directory / "loras/a/b").read_bytes() == content
    assert len(source.requests) == 1
