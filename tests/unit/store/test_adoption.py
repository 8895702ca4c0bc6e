"""Files that were on the volume before us, or that others put there: taken over, replaced or left, never mixed up."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from comfyard.store import errors
from comfyard.store.store import Store
from tests.unit.store.source_server import noise, safetensors, sha256
from tests.unit.store.volume import EXISTING, PATH, put, recover, visible, want, write

CONTENT = safetensors(100_000)
OTHER = "loras/other.safetensors"
NOBODY = 65534


def test_a_right_file_is_taken_over(store: Store) -> None:
    file = write(store, PATH, CONTENT)
    file.chmod(0o600)
    assert store.settle(want(CONTENT)) is None
    stored = recover(store, want(CONTENT))
    assert stored
    assert (stored.sha256, stored.size) == (sha256(CONTENT), len(CONTENT))
    assert store.settle(want(CONTENT)) == stored
    assert file.samefile(store.layout.blobs / sha256(CONTENT))
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_a_wrong_file_waits_for_the_right_one(store: Store) -> None:
    write(store, PATH, b"of last year")
    assert store.settle(want(CONTENT)) is None
    assert recover(store, want(CONTENT)) is None
    assert visible(store) == {PATH: b"of last year"}
    put(store, CONTENT, OTHER)
    assert store.settle(want(CONTENT))
    assert visible(store) == {PATH: CONTENT, OTHER: CONTENT}


def test_a_right_digest_of_what_is_no_model(store: Store) -> None:
    content = bytes(5000)
    write(store, PATH, content)
    with pytest.raises(errors.NotASafetensorsError, match="not a safetensors file"):
        recover(store, want(content))
    write(store, "loras/x.gguf", content)
    assert recover(store, want(content, "loras/x.gguf"))
    with pytest.raises(errors.NotASafetensorsError):
        store.settle(want(content, OTHER))
    assert OTHER not in visible(store)


def test_what_exists_is_kept_by_the_digest_it_has(store: Store) -> None:
    unpinned = replace(want(CONTENT, source=EXISTING), sha256=None)
    assert store.settle(unpinned) is None
    assert recover(store, unpinned) is None
    write(store, PATH, CONTENT)
    assert store.settle(unpinned) is None
    stored = recover(store, unpinned)
    assert stored
    assert stored.sha256 == sha256(CONTENT)
    assert store.settle(unpinned) == stored
    assert store.settle(replace(unpinned, path=OTHER)) is None


def test_what_exists_under_two_paths_is_two_things(store: Store) -> None:
    one = replace(want(CONTENT, source=EXISTING), sha256=None)
    other = replace(one, path=OTHER)
    newer = safetensors(2000, seed=1)
    write(store, PATH, CONTENT)
    write(store, OTHER, newer)
    found = [recover(store, each) for each in (one, other)]
    assert [stored.sha256 for stored in found if stored] == [sha256(CONTENT), sha256(newer)]
    assert one.content_key != other.content_key


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("how", ["written over", "replaced"])
def test_what_exists_is_not_replaced_by_what_it_was(store: Store, how: str, *, pinned: bool) -> None:
    """Somebody has put another file there. It is the only one there is; a person has to say which one is meant."""
    one = want(CONTENT, source=EXISTING)
    one = one if pinned else replace(one, sha256=None)
    file = write(store, PATH, CONTENT)
    put(store, CONTENT, OTHER)
    assert recover(store, one)
    newer = safetensors(3000, seed=1)
    if how == "replaced":
        file.unlink()
    file.write_bytes(newer)
    assert store.settle(one) is None
    with pytest.raises(errors.DigestMismatchError, match=sha256(newer)):
        recover(store, one)
    assert visible(store)[PATH] == newer
    assert recover(store, replace(one, sha256=sha256(newer)))


def test_what_exists_and_is_deleted_comes_back_from_what_we_have(store: Store) -> None:
    one = want(CONTENT, source=EXISTING)
    file = write(store, PATH, CONTENT)
    assert recover(store, one)
    file.unlink()
    assert store.settle(one)
    assert visible(store) == {PATH: CONTENT}


def test_a_copy_of_what_we_have_becomes_a_link(store: Store) -> None:
    put(store, CONTENT, PATH)
    file = write(store, OTHER, CONTENT)
    one = want(CONTENT, OTHER, EXISTING)
    assert store.settle(one) is None
    assert recover(store, one)
    assert file.samefile(store.layout.root / PATH)


@pytest.mark.parametrize("folder", ["checkpoints", "checkpoints/sub"])
def test_a_file_where_a_folder_must_be_is_named(store: Store, folder: str) -> None:
    put(store, CONTENT, OTHER)
    write(store, folder, b"")
    for act in (store.settle, lambda one: recover(store, one)):
        with pytest.raises(errors.PathConflictError, match=f"{folder} is a file where a folder must be"):
            act(want(CONTENT, f"{folder}/x.safetensors"))


def test_a_folder_where_the_file_must_be_is_named(store: Store) -> None:
    put(store, CONTENT, OTHER)
    (store.layout.root / PATH).mkdir(parents=True)
    for act in (store.settle, lambda one: recover(store, one)):
        with pytest.raises(errors.PathConflictError, match=f"{PATH} is a directory"):
            act(want(CONTENT))


def test_a_link_is_replaced_and_not_written_through(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "file"
    outside.write_bytes(CONTENT)
    link = store.layout.root / PATH
    link.parent.mkdir()
    link.symlink_to(outside)
    assert recover(store, want(CONTENT)) is None
    put(store, CONTENT, OTHER)
    assert store.settle(want(CONTENT))
    assert not link.is_symlink()
    (store.layout.root / "vae").symlink_to(outside.parent)
    with pytest.raises(errors.UnsafePathError, match="vae is a symbolic link"):
        store.settle(want(CONTENT, "vae/x.safetensors"))
    assert list(outside.parent.iterdir()) == [outside]


def test_what_runs_keeps_its_file(store: Store) -> None:
    newer = noise(5000)
    put(store, CONTENT, "loras/a.gguf")
    put(store, newer, "loras/b.gguf")
    one = want(newer, "loras/a.gguf")
    for act in (store.settle, lambda one, replace: recover(store, one, replace=replace)):
        with pytest.raises(errors.InUseError, match=r"loras/a\.gguf"):
            act(one, replace=False)
    assert visible(store)["loras/a.gguf"] == CONTENT
    assert store.settle(want(CONTENT, "loras/a.gguf"), replace=False)
    assert store.settle(one)
    assert visible(store)["loras/a.gguf"] == newer


def test_what_runs_does_not_need_what_is_not_ours(store: Store) -> None:
    put(store, CONTENT, OTHER)
    write(store, PATH, b"of somebody else")
    assert store.settle(want(CONTENT), replace=False)
    (store.layout.root / PATH).unlink()
    assert store.settle(want(CONTENT), replace=False)
    assert visible(store)[PATH] == CONTENT


@pytest.fixture
def shared_volume() -> Iterator[Store]:
    """A volume whose folders belong to nobody, as they do for a sync that runs without privileges."""
    if os.geteuid() != 0 or Path("/proc/sys/fs/protected_hardlinks").read_text() != "1\n":
        pytest.skip("only root can become somebody else, and links must be protected from them")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        store = Store(Path(directory))
        store.layout.prepare()
        (store.layout.root / "checkpoints").mkdir()
        for folder in (store.layout.root, *(path for path in store.layout.root.rglob("*") if path.is_dir())):
            os.chown(folder, NOBODY, NOBODY)
        yield store


def as_nobody(act: Callable[[], object]) -> bool:
    """Whether something is true for another user."""
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os._exit(0 if act() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_file_of_another_user_is_copied(shared_volume: Store) -> None:
    """The kernel does not let one make links to it, and it may come from nowhere else."""
    store = shared_volume
    file = write(store, PATH, CONTENT)
    before = file.stat()
    one = want(CONTENT, source=EXISTING)
    assert as_nobody(lambda: recover(Store(store.layout.root), one) and Store(store.layout.root).settle(one))
    after = file.stat()
    assert after.st_ino != before.st_ino
    assert after.st_uid == NOBODY
    assert visible(store) == {PATH: CONTENT}
    assert list(store.layout.new.iterdir()) == []


def test_a_file_that_cannot_be_read_is_only_trouble_if_it_comes_from_nowhere_else(shared_volume: Store) -> None:
    store = shared_volume
    write(store, PATH, CONTENT).chmod(0o600)

    def is_refused() -> bool:
        try:
            recover(Store(store.layout.root), want(CONTENT, source=EXISTING))
        except errors.VolumeError as error:
            return "Permission denied" in str(error)
        return False

    assert as_nobody(is_refused)
    assert as_nobody(lambda: recover(Store(store.layout.root), want(CONTENT)) is None)
    assert visible(store) == {PATH: CONTENT}
