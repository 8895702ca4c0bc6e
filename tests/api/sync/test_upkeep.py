"""Files are read again and again, repaired, adopted, and told of."""

import threading
from pathlib import Path

import pytest

from tests.api.sync.harness import PATH, Bundles, Running, model, rot
from tests.doubles import git
from tests.unit.agent.harness import SECONDS, eventually
from tests.unit.store.source_server import Source, safetensors

pytestmark = pytest.mark.api


async def test_what_rots_is_found_and_repaired(source: Source, bundles: Bundles, program: Running) -> None:
    content = safetensors(100_000)
    told = threading.Event()
    url = source.serve("x", content, on_sent=lambda sent: sent <= len(content) or told.wait(SECONDS))
    await bundles.put("b", [model(url, content), model(url, content, "loras/same.safetensors")], verifyEverySeconds=1)
    task = program.start(linger_seconds=600)
    await bundles.until_row("b", state="Ready")
    rot(program.directory / PATH)
    row = await bundles.until_row("b", reason="Corrupted")
    assert row["state"] in {"Pending", "Fetching"}
    told.set()
    await bundles.until_event("b", "Repaired", f"{PATH} had been changed or deleted")
    await bundles.until_event("b", "Repaired", "loras/same.safetensors had been changed or deleted")
    for path in (PATH, "loras/same.safetensors"):
        assert (program.directory / path).read_bytes() == content
    history = await bundles.history("b")
    assert len({status["verifiedTime"] for status in history if "verifiedTime" in status}) > 1
    assert len(source.requests) == 2
    assert not task.done()


async def test_what_is_well_stays_ready_while_it_is_read(source: Source, bundles: Bundles, program: Running) -> None:
    content = safetensors(100_000)
    await bundles.put("b", [model(source.serve("x", content), content)], verifyEverySeconds=1)
    task = program.start(linger_seconds=600)
    await bundles.until_row("b", state="Ready")
    first = (await bundles.status("b"))["verifiedTime"]

    async def read_again() -> bool:
        return (await bundles.status("b"))["verifiedTime"] > first  # type: ignore[no-any-return]

    await eventually(read_again)
    states = [status["models"][0]["state"] for status in await bundles.history("b") if status.get("models")]
    assert set(states[states.index("Ready") :]) == {"Ready"}
    assert len(source.requests) == 1
    assert not task.done()


async def test_what_was_changed_or_deleted_meanwhile_is_repaired_at_the_next_start(
    source: Source, bundles: Bundles, program: Running
) -> None:
    one, two = safetensors(1000), safetensors(1000, seed=1)
    models = [model(source.serve("one", one), one), model(source.serve("two", two), two, "loras/y.safetensors")]
    await bundles.put("b", models)
    assert await program.start() == 0
    (program.directory / PATH).write_bytes(b"something else")
    (program.directory / "loras/y.safetensors").unlink()
    assert await program.start() == 0
    assert (program.directory / PATH).read_bytes() == one
    assert (program.directory / "loras/y.safetensors").read_bytes() == two
    assert len(source.requests) == 3
    assert [(kind, reason) for kind, reason, _ in await bundles.events("b")] == [("Warning", "Repaired")]


async def test_what_was_there_before_is_adopted(source: Source, bundles: Bundles, program: Running) -> None:
    content = safetensors(1000)
    (program.directory / PATH).parent.mkdir()
    (program.directory / PATH).write_bytes(content)
    here = {"path": PATH, "source": {"existing": {}}}
    missing = {"path": "loras/missing.safetensors", "source": {"existing": {}}}
    await bundles.put("b", [here, missing])
    assert await program.start() == 0
    assert await bundles.states("b") == [("Ready", ""), ("Failed", "NotFound")]
    assert [(kind, reason) for kind, reason, _ in await bundles.events("b")] == [
        ("Normal", "Adopted"),
        ("Warning", "FetchFailed"),
    ]
    assert await program.start() == 0
    assert len(await bundles.events("b")) == 2
    assert source.requests == []


async def test_an_inventory_is_left_and_written_again_only_when_it_is_news(
    source: Source, bundles: Bundles, program: Running
) -> None:
    content = safetensors(1000)
    await bundles.put("b", [model(source.serve("x", content), content)])
    assert await program.start() == 0
    found = await bundles.inventory()
    [checkpoints] = found.categories
    assert (checkpoints.name, checkpoints.known.files, checkpoints.known.bytes) == ("checkpoints", 1, len(content))
    assert found.files == []
    (program.directory / "checkpoints/mine.safetensors").write_bytes(b"12345")
    await bundles.put("b", [model(source.serve("x", content), content)], verifyEverySeconds=0)
    assert await program.start() == 0
    assert [(file.path, file.bytes) for file in (await bundles.inventory()).files] == [
        ("checkpoints/mine.safetensors", 5)
    ]


async def test_custom_nodes_come_and_go_by_commit(bundles: Bundles, program: Running, tmp_path: Path) -> None:
    (tmp_path / "repositories").mkdir()
    with git.running(tmp_path / "repositories") as server:
        work = server.repository("pack", tmp_path / "work")
        first, second = (work.commit(**{"__init__.py": text}) for text in (b"NODES = 1\n", b"NODES = 2\n"))
        url = f"{server.base}/pack.git"

        def nodes(*commits: str) -> list[dict[str, object]]:
            return [{"name": f"pack-{n}", "git": {"url": url, "commit": commit}} for n, commit in enumerate(commits)]

        await bundles.put("b", customNodes=nodes(first, "0" * 40))
        assert await program.start() == 0
        there, missing = (await bundles.status("b"))["customNodes"]
        tree = work.git("rev-parse", f"{first}^{{tree}}")
        assert (there["state"], there["commit"], there["tree"]) == ("Ready", first, tree)
        assert (missing["state"], missing["reason"]) == ("Failed", "NotFound")
        assert (program.directory / ".comfyard/nodes" / first / "__init__.py").read_bytes() == b"NODES = 1\n"
        await bundles.apply("b", customNodes=nodes(second))
        await bundles.observe("b", inUse=True)
        task = program.start()

        async def fetched() -> bool:
            rows = (await bundles.status("b"))["customNodes"]
            return [(row["commit"], row["reason"]) for row in rows] == [(first, "InUse")]

        await eventually(fetched)
        await bundles.observe("b", inUse=False)
        assert await task == 0
    [row] = (await bundles.status("b"))["customNodes"]
    assert (row["state"], row["commit"]) == ("Ready", second)
    assert {entry.name for entry in (program.directory / ".comfyard/nodes").iterdir()} == {second, f"{second}.json"}
