"""What was verified is read again now and then: rot that nothing else tells is found, and never stays visible."""

import json
from pathlib import Path
from typing import Any

import pytest

from comfyard.store.errors import DigestMismatchError, StoppedError
from comfyard.store.stop import Stop
from comfyard.store.store import Store
from tests.unit.store.source_server import safetensors, sha256
from tests.unit.store.volume import EXISTING, PATH, lives, put, recover, rot, verify, visible, want, write

CONTENT = safetensors(1_500_000)
OTHER = "loras/sub/same.safetensors"


def record(store: Store, content: bytes = CONTENT) -> Path:
    return store.layout.blobs / f"{sha256(content)}.json"


def rewrite(store: Store, **fields: Any) -> None:
    record(store).write_text(json.dumps({**json.loads(record(store).read_text()), **fields}))


def test_what_is_right_is_verified_now(store: Store) -> None:
    first = put(store, CONTENT, PATH)
    again = verify(store, want(CONTENT))
    assert again
    assert again.verified > first.verified
    assert store.settle(want(CONTENT)) == again


def test_a_record_of_the_earlier_form_costs_one_reading(store: Store) -> None:
    put(store, CONTENT, PATH)
    found = (store.layout.root / PATH).stat()
    old = {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "inode": found.st_ino}
    record(store).write_text(json.dumps(old))
    assert store.settle(want(CONTENT)) is None
    stored = recover(store, want(CONTENT))
    assert stored
    assert stored.sha256 == sha256(CONTENT)
    assert store.settle(want(CONTENT)) == stored
    assert (store.layout.root / PATH).stat().st_ino == found.st_ino


@pytest.mark.parametrize("known", [True, False])
def test_rot_that_nothing_tells_is_found(store: Store, *, known: bool) -> None:
    put(store, CONTENT, PATH, OTHER)
    if not known:
        rewrite(store, blake3=None)
    rot(store.layout.root / PATH)
    assert bool(store.settle(want(CONTENT))) == known
    assert verify(store, want(CONTENT)) is None
    assert visible(store) == {}
    assert list(store.layout.blobs.iterdir()) == []
    assert store.settle(want(CONTENT)) is None
    assert recover(store, want(CONTENT)) is None


def test_sha256_is_the_truth(store: Store) -> None:
    put(store, CONTENT, PATH)
    rewrite(store, blake3="0" * 64)
    stored = verify(store, want(CONTENT))
    assert stored
    assert json.loads(record(store).read_text())["blake3"] != "0" * 64
    assert verify(store, want(CONTENT))


def test_a_broken_record_is_no_record(store: Store) -> None:
    put(store, CONTENT, PATH)
    record(store).write_text("{}")
    assert store.settle(want(CONTENT)) is None
    assert recover(store, want(CONTENT)) == store.settle(want(CONTENT))


def test_what_others_put_there_meanwhile_stays(store: Store) -> None:
    put(store, CONTENT, PATH, OTHER)
    (store.layout.root / OTHER).unlink()
    write(store, OTHER, b"of somebody else")
    rot(store.layout.root / PATH)
    assert verify(store, want(CONTENT)) is None
    assert visible(store) == {OTHER: b"of somebody else"}


def test_names_that_are_not_models_stay(store: Store) -> None:
    put(store, CONTENT, PATH)
    for name in ("beside.safetensors", "checkpoints/.hidden"):
        (store.layout.root / name).hardlink_to(store.layout.root / PATH)
    rot(store.layout.root / PATH)
    assert verify(store, want(CONTENT)) is None
    assert set(visible(store)) == {"beside.safetensors", "checkpoints/.hidden"}


def test_a_deleted_path_comes_back(store: Store) -> None:
    put(store, CONTENT, PATH)
    (store.layout.root / PATH).unlink()
    assert verify(store, want(CONTENT))
    assert visible(store) == {PATH: CONTENT}


def test_nothing_there(store: Store) -> None:
    assert verify(store, want(CONTENT)) is None
    assert verify(store, want(CONTENT, source=EXISTING)) is None


def test_it_can_be_stopped(store: Store) -> None:
    put(store, CONTENT, PATH)
    stop = Stop()
    with pytest.raises(StoppedError):
        store.verify(want(CONTENT), lambda _: stop.ask(), stop)
    assert store.settle(want(CONTENT))


def test_progress_is_told(store: Store) -> None:
    put(store, CONTENT, PATH)
    told: list[int] = []
    store.verify(want(CONTENT), lambda progress: told.append(progress.bytes), Stop())
    assert told == [1024 * 1024, len(CONTENT)]


def test_the_only_copy_there_is_is_never_destroyed(store: Store) -> None:
    """It comes from nowhere else, and a wrong byte may not be the end of it."""
    one = want(CONTENT, source=EXISTING)
    put(store, CONTENT, PATH)
    assert store.settle(one)
    rot(store.layout.root / PATH)
    wrong = (store.layout.root / PATH).read_bytes()
    assert verify(store, one) is None
    assert store.settle(one) is None
    with pytest.raises(DigestMismatchError):
        recover(store, one)
    assert visible(store) == {PATH: wrong}
    assert list(store.layout.blobs.iterdir()) == []


def test_a_kill_never_makes_rot_verified(tmp_path: Path) -> None:
    def prepare(store: Store) -> None:
        put(store, CONTENT, PATH, OTHER)
        rot(store.layout.root / PATH)

    survived = 0
    for store in lives(tmp_path, prepare, lambda store: verify(store, want(CONTENT))):
        survived += 1
        if PATH not in visible(store):
            assert store.settle(want(CONTENT)) is None
        assert verify(store, want(CONTENT)) is None
        assert recover(store, want(CONTENT)) is None
        for path in visible(store):
            (store.layout.root / path).unlink()
    assert survived > 5
