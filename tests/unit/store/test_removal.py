"""What nobody needs goes, and nothing else: neither what others put there, nor what somebody still wants."""

from pathlib import Path

import pytest

from comfyard.store.store import Store
from tests.unit.store.source_server import noise, safetensors, sha256
from tests.unit.store.volume import EXISTING, PATH, lives, put, recover, visible, want, write

CONTENT = safetensors(100_000)
DIGEST = sha256(CONTENT)
OTHER = "loras/styles/same.safetensors"


def contents(store: Store) -> set[str]:
    return {file.name for file in store.layout.blobs.iterdir()}


def test_a_content_goes_path_by_path(store: Store) -> None:
    put(store, CONTENT, PATH, OTHER)
    assert store.remove(PATH, DIGEST)
    assert visible(store) == {OTHER: CONTENT}
    assert store.collect(set(), set()) == 0
    assert store.remove(OTHER, DIGEST)
    assert visible(store) == {}
    assert store.collect(set(), set()) == len(CONTENT)
    assert contents(store) == set()
    assert not store.remove(OTHER, DIGEST)


def test_folders_of_comfyui_stay(store: Store) -> None:
    put(store, CONTENT, "loras/a/b/x.safetensors", "loras/a/y.safetensors")
    store.remove("loras/a/b/x.safetensors", DIGEST)
    assert [path.name for path in (store.layout.root / "loras/a").iterdir()] == ["y.safetensors"]
    store.remove("loras/a/y.safetensors", DIGEST)
    assert list((store.layout.root / "loras").iterdir()) == []


@pytest.mark.parametrize("content", [b"another", CONTENT])
def test_what_others_put_there_stays(store: Store, content: bytes) -> None:
    """Also a copy: nobody reads it to find out."""
    put(store, CONTENT, PATH, OTHER)
    (store.layout.root / PATH).unlink()
    write(store, PATH, content)
    assert not store.remove(PATH, DIGEST)
    assert visible(store)[PATH] == content


def test_another_content_of_ours_stays(store: Store) -> None:
    newer = noise(1000)
    put(store, CONTENT, "loras/a.gguf")
    put(store, newer, "loras/b.gguf")
    assert not store.remove("loras/b.gguf", DIGEST)
    assert not store.remove("loras/c.gguf", DIGEST)
    assert not store.remove("loras/b.gguf", sha256(b"never seen"))
    assert visible(store) == {"loras/a.gguf": CONTENT, "loras/b.gguf": newer}


def test_what_is_no_file_stays(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    put(store, CONTENT, "checkpoints/a/x.safetensors")
    outside = tmp_path_factory.mktemp("outside")
    (store.layout.root / "loras").symlink_to(store.layout.root / "checkpoints/a")
    (store.layout.root / "vae").symlink_to(outside)
    (store.layout.root / "clip").write_text("a file where a folder should be")
    (store.layout.root / "unet/x.safetensors").mkdir(parents=True)
    for folder in ("loras", "vae", "clip", "unet"):
        assert not store.remove(f"{folder}/x.safetensors", DIGEST)
    assert "checkpoints/a/x.safetensors" in visible(store)


def test_what_is_wanted_waits_for_its_path(store: Store) -> None:
    put(store, CONTENT, PATH)
    store.remove(PATH, DIGEST)
    assert store.collect({DIGEST}, set()) == 0
    assert store.settle(want(CONTENT))
    assert visible(store) == {PATH: CONTENT}


def test_what_a_source_gave_is_wanted_with_the_source(store: Store) -> None:
    write(store, PATH, CONTENT)
    one = want(CONTENT, source=EXISTING)
    unpinned = type(one)(one.path, one.source, None)
    assert recover(store, unpinned)
    key = unpinned.source_key
    (store.layout.root / PATH).unlink()
    assert store.collect(set(), {key}) == 0
    assert store.settle(unpinned)
    assert store.collect(set(), set()) == 0  # a path has it: it may be wanted again one day
    assert store.settle(unpinned)
    (store.layout.root / PATH).unlink()
    assert store.collect(set(), set()) == len(CONTENT)
    assert list(store.layout.origins.iterdir()) == []


def test_what_a_crash_left_goes(store: Store) -> None:
    put(store, CONTENT, PATH)
    (store.layout.blobs / f"{'0' * 64}.json").write_text("{}")
    (store.layout.blobs / ("1" * 64)).write_bytes(b"installed, not recorded")
    (store.layout.blobs / f"{DIGEST}.json.new").write_bytes(b"half")
    (store.layout.origins / f"{'2' * 64}.new").write_bytes(b"half")
    (store.layout.new / "link").hardlink_to(store.layout.root / PATH)
    store.clear()
    assert list(store.layout.new.iterdir()) == list(store.layout.origins.iterdir()) == []
    assert store.collect(set(), set()) == len(b"installed, not recorded")
    assert contents(store) == {DIGEST, f"{DIGEST}.json"}
    assert store.settle(want(CONTENT))


def test_a_kill_at_any_step_leaves_nothing_that_cannot_be_removed(tmp_path: Path) -> None:
    def remove(store: Store) -> None:
        for path in (PATH, OTHER):
            store.remove(path, DIGEST)
        store.collect(set(), set())

    survived = 0
    for store in lives(tmp_path, lambda store: put(store, CONTENT, PATH, OTHER), remove):
        survived += 1
        assert set(visible(store).values()) <= {CONTENT}
        store.clear()
        remove(store)
        assert visible(store) == {}
        assert contents(store) == set()
    assert survived > 8


def test_a_kill_at_any_step_leaves_nothing_that_is_believed_wrongly(tmp_path: Path) -> None:
    """Whoever wants it after all gets it whole, or is told that it is not there."""

    def remove(store: Store) -> None:
        store.remove(PATH, DIGEST)
        store.collect(set(), set())

    ends = set()
    for store in lives(tmp_path, lambda store: put(store, CONTENT, PATH), remove):
        stored = store.settle(want(CONTENT)) or recover(store, want(CONTENT))
        assert visible(store) == ({PATH: CONTENT} if stored else {})
        ends.add(stored is None)
    assert ends == {True, False}
