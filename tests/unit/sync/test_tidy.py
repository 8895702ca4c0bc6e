"""What was removed is told only when it is gone from the disk: who waits for it counts on the room."""

from pathlib import Path

import pytest

from comfyard.store.http.web import Web
from comfyard.store.nodes import NodeStore
from comfyard.store.store import Store
from comfyard.sync.tidy import Tidy
from comfyard.sync.wanted import Need, Removal, Wanted
from tests.unit.store.source_server import safetensors, sha256
from tests.unit.store.volume import PATH, prepared, put, want

CONTENT = safetensors(1000)
DIGEST = sha256(CONTENT)
OTHER = "loras/same.safetensors"
REMOVAL = Removal("uid", PATH, DIGEST)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return prepared(tmp_path)


@pytest.fixture
def tidy(store: Store) -> Tidy:
    return Tidy(store, NodeStore(store.layout, Web()))


def contents(store: Store) -> list[str]:
    return [file.name for file in store.layout.blobs.iterdir()]


async def test_a_removal_is_done_when_its_bytes_are_free(store: Store, tidy: Tidy) -> None:
    put(store, CONTENT, PATH)
    wanted = Wanted(removals=(REMOVAL,))
    assert await tidy.clear(wanted, ()) == ([REMOVAL], True)
    assert tidy.done == {REMOVAL}
    assert contents(store) == []


async def test_a_removal_that_was_cut_off_before_its_bytes_were_free_goes_on(store: Store, tidy: Tidy) -> None:
    put(store, CONTENT, PATH)
    assert store.remove(PATH, DIGEST)
    assert contents(store)
    assert await tidy.clear(Wanted(removals=(REMOVAL,)), ()) == ([], True)
    assert tidy.done == {REMOVAL}
    assert contents(store) == []


async def test_bytes_that_another_path_has_stay(store: Store, tidy: Tidy) -> None:
    put(store, CONTENT, PATH, OTHER)
    other = want(CONTENT, OTHER)
    wanted = Wanted(removals=(REMOVAL,), files={OTHER: Need(other)}, wants=frozenset({other}))
    assert await tidy.clear(wanted, {DIGEST}) == ([REMOVAL], True)
    assert tidy.done == {REMOVAL}
    assert (store.layout.root / OTHER).read_bytes() == CONTENT


async def test_a_removal_whose_bytes_cannot_be_freed_is_not_done(store: Store, tidy: Tidy) -> None:
    put(store, CONTENT, PATH)
    wanted = Wanted(removals=(REMOVAL,))
    obstacle = store.layout.blobs / ("0" * 64)
    obstacle.mkdir()
    assert await tidy.clear(wanted, ()) == ([REMOVAL], False)
    assert tidy.done == frozenset()
    obstacle.rmdir()
    assert await tidy.clear(wanted, ()) == ([], True)
    assert tidy.done == {REMOVAL}
