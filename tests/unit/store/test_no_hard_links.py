"""On a volume without hard links every path has a file of its own, and all that is promised holds there too."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from comfyard.store.errors import DigestMismatchError, InUseError, StoppedError
from comfyard.store.stop import Stop
from comfyard.store.store import Store
from tests.unit.store.source_server import noise, safetensors, sha256
from tests.unit.store.volume import EXISTING, PATH, lives, prepared, put, recover, rot, verify, visible, want, write

CONTENT = safetensors(1_200_000)
DIGEST = sha256(CONTENT)
OTHER = "loras/sub/same.safetensors"

Mount = Callable[[Path], AbstractContextManager[Path]]


@contextmanager
def mounted(directory: Path) -> Iterator[Path]:
    """Another name for a directory, under which files cannot be linked."""
    mount = directory.with_name(f"{directory.name}-linkless")
    mount.mkdir(exist_ok=True)
    command: list[str | Path] = [sys.executable, Path(__file__).with_name("linkless.py"), directory, mount]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"/\n"
        try:
            yield mount
        finally:
            subprocess.run(["umount", mount], check=True)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    if os.geteuid() != 0 or not Path("/dev/fuse").exists() or shutil.which("fusermount3") is None:
        pytest.skip("a file system is mounted by root, with fuse3")
    made = tmp_path / "volume"
    made.mkdir()
    return made


@pytest.fixture
def volume(directory: Path) -> Iterator[Path]:
    with mounted(directory) as mount:
        yield mount


@pytest.fixture
def store(volume: Path) -> Store:
    return prepared(volume)


def kept(store: Store) -> set[str]:
    """What lies beside the tree."""
    return {file.name for file in store.layout.blobs.iterdir()}


def test_there_are_no_links(volume: Path) -> None:
    (volume / "a").write_text("")
    with pytest.raises(PermissionError):
        (volume / "b").hardlink_to(volume / "a")


def test_a_content_lies_under_its_path_only(store: Store) -> None:
    stored = put(store, CONTENT, PATH)
    assert visible(store) == {PATH: CONTENT}
    assert kept(store) == {f"{DIGEST}.json"}
    assert store.settle(want(CONTENT)) == stored


def test_a_second_path_is_a_copy(store: Store) -> None:
    put(store, CONTENT, PATH)
    assert store.settle(want(CONTENT, OTHER)) is None  # it takes reading and writing
    stored = recover(store, want(CONTENT, OTHER))
    assert stored == store.settle(want(CONTENT, OTHER))
    assert visible(store) == {PATH: CONTENT, OTHER: CONTENT}
    assert kept(store) == {f"{DIGEST}.json"}
    assert list(store.layout.new.iterdir()) == []
    assert (store.layout.root / OTHER).stat().st_mode & 0o777 == 0o644


def test_a_copy_of_rot_is_not_made(store: Store) -> None:
    put(store, CONTENT, PATH)
    rot(store.layout.root / PATH)
    assert recover(store, want(CONTENT, OTHER)) is None
    assert OTHER not in visible(store)
    assert list(store.layout.new.iterdir()) == []


def test_a_copy_that_is_stopped_leaves_nothing(store: Store) -> None:
    put(store, CONTENT, PATH)
    stop = Stop()
    with pytest.raises(StoppedError):
        store.recover(want(CONTENT, OTHER), lambda _: stop.ask(), stop)
    assert list(store.layout.new.iterdir()) == []
    assert OTHER not in visible(store)


def test_numbers_of_files_do_not_count(directory: Path) -> None:
    with mounted(directory) as mount:
        first = Store(mount)
        first.layout.prepare()
        stored = put(first, CONTENT, PATH, OTHER)
        before = (mount / PATH).stat().st_ino
    with mounted(directory) as mount:
        for name in ("a", "b", "c"):
            (mount / name).write_text("")  # these get the numbers now
        assert (mount / PATH).stat().st_ino != before
        again = Store(mount).settle(want(CONTENT))
        assert again
        assert again.sha256 == stored.sha256


@pytest.mark.parametrize("path", [PATH, OTHER])
def test_rot_takes_one_copy_away_and_the_other_repairs_it(store: Store, path: str) -> None:
    put(store, CONTENT, PATH, OTHER)
    rot(store.layout.root / path)
    good = OTHER if path == PATH else PATH
    assert verify(store, want(CONTENT, good))
    assert verify(store, want(CONTENT, path)) is None
    assert set(visible(store)) == {good}
    assert recover(store, want(CONTENT, path))
    assert visible(store) == {PATH: CONTENT, OTHER: CONTENT}


def test_the_last_rotten_copy_takes_the_record_along(store: Store) -> None:
    put(store, CONTENT, PATH)
    rot(store.layout.root / PATH)
    assert verify(store, want(CONTENT)) is None
    assert visible(store) == {}
    assert kept(store) == set()


def test_each_copy_has_its_own_time(store: Store) -> None:
    put(store, CONTENT, PATH, OTHER)
    before = store.settle(want(CONTENT, OTHER))
    assert verify(store, want(CONTENT))
    assert store.settle(want(CONTENT, OTHER)) == before
    now = store.settle(want(CONTENT))
    assert now
    assert before
    assert now.verified > before.verified


def test_a_touched_file_is_read_once(store: Store) -> None:
    put(store, CONTENT, PATH)
    (store.layout.root / PATH).touch()
    assert store.settle(want(CONTENT)) is None
    assert recover(store, want(CONTENT)) == store.settle(want(CONTENT))


def test_what_others_put_under_another_path_stays(store: Store) -> None:
    put(store, CONTENT, PATH, OTHER)
    write(store, PATH, b"of somebody else")
    write(store, OTHER, b"of somebody else")
    assert recover(store, want(CONTENT, OTHER)) is None
    assert visible(store) == {PATH: b"of somebody else"}


def test_removal_is_of_one_path(store: Store) -> None:
    put(store, CONTENT, PATH, OTHER)
    assert store.remove(OTHER, DIGEST)
    assert visible(store) == {PATH: CONTENT}
    assert not (store.layout.root / "loras/sub").exists()
    assert store.collect(set(), set()) == 0
    write(store, OTHER, CONTENT)
    assert not store.remove(OTHER, DIGEST)
    assert store.remove(PATH, DIGEST)
    assert kept(store) == set()
    assert visible(store) == {OTHER: CONTENT}


def test_what_has_no_path_goes_unless_it_is_wanted(store: Store) -> None:
    blob = store.layout.blobs / DIGEST
    blob.write_bytes(CONTENT)  # a crash between the last byte and the path
    put(store, b"gone by hand", "loras/x.gguf")
    (store.layout.root / "loras/x.gguf").unlink()
    assert store.collect({DIGEST}, set()) == 0
    assert kept(store) == {DIGEST}
    assert recover(store, want(CONTENT))
    assert kept(store) == {f"{DIGEST}.json"}
    (store.layout.root / PATH).replace(blob)
    assert store.collect(set(), set()) == len(CONTENT)
    assert kept(store) == set()


def test_what_runs_keeps_its_file(store: Store) -> None:
    newer = noise(5000)
    put(store, CONTENT, "loras/a.gguf")
    put(store, newer, "loras/b.gguf")
    one = want(newer, "loras/a.gguf")
    with pytest.raises(InUseError):
        recover(store, one, replace=False)
    assert list(store.layout.new.iterdir()) == []
    assert visible(store)["loras/a.gguf"] == CONTENT
    assert recover(store, one)
    assert visible(store)["loras/a.gguf"] == newer


def test_the_inventory_knows_them(store: Store) -> None:
    put(store, CONTENT, PATH, OTHER)
    write(store, "loras/mine.gguf", b"mine")
    found = store.inventory({PATH})
    assert [(file.path, file.kind) for file in found.files] == [(OTHER, "Retained"), ("loras/mine.gguf", "Unknown")]
    assert found.loose_bytes == 0


def test_the_only_copy_there_is_is_never_destroyed(store: Store) -> None:
    one = replace(want(CONTENT, source=EXISTING), sha256=None)
    write(store, PATH, CONTENT)
    assert recover(store, one)
    rot(store.layout.root / PATH)
    assert verify(store, one) is None
    with pytest.raises(DigestMismatchError):
        recover(store, one)
    assert PATH in visible(store)


def test_a_kill_at_any_step_costs_reading_at_most(volume: Path) -> None:
    def act(store: Store) -> None:
        recover(store, want(CONTENT, OTHER))
        store.remove(PATH, DIGEST)
        store.collect(set(), set())

    survived = 0
    for store in lives(volume, lambda store: put(store, CONTENT, PATH), act):
        survived += 1
        assert set(visible(store).values()) == {CONTENT}
        store.clear()
        act(store)
        assert visible(store) == {OTHER: CONTENT}
        assert kept(store) == {f"{DIGEST}.json"}
        assert store.settle(want(CONTENT, OTHER))
    assert survived > 15
