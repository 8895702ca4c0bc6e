"""What lies on a volume, told in a form that has a bound."""

import os

import pytest

from comfyard.store.contents.tree import Tree
from comfyard.store.inventory import OTHERS, Category, Inventory, NodePackage, NotWanted, Tally, printable
from comfyard.store.store import Store
from tests.unit.store.source_server import noise, safetensors, sha256
from tests.unit.store.volume import PATH, put, write

CONTENT = safetensors(100_000)
SIZE = len(CONTENT)


def test_everything_is_told(store: Store) -> None:
    put(store, CONTENT, PATH, "checkpoints/old.safetensors", "loras/sub/same.safetensors")
    put(store, b"nobody has it", "loras/gone.gguf")
    store.remove("loras/gone.gguf", sha256(b"nobody has it"))
    write(store, "loras/mine.pt", b"mine")
    write(store, "notes.txt", b"beside the folders")
    (store.layout.root / "vae").mkdir()
    (store.layout.root / "vae/link.safetensors").symlink_to("/etc/hostname")
    (store.layout.root / "clip").symlink_to(store.layout.root / "loras")
    (store.layout.partial / "sha256-0.part").write_bytes(noise(5000))
    for commit, size in (("a" * 40, 10), ("b" * 40, 2000)):
        (store.layout.nodes / commit / "sub").mkdir(parents=True)
        (store.layout.nodes / commit / "sub/node.py").write_bytes(bytes(size))
        (store.layout.nodes / f"{commit}.json").write_text("{}")
    volume = os.statvfs(store.layout.root)
    found = store.inventory({PATH, "loras/mine.pt", "loras/sub/same.safetensors"})
    assert found.categories == [
        Category(
            name="",
            known=Tally(),
            retained=Tally(),
            unknown=Tally(files=2, bytes=18 + (store.layout.root / "clip").lstat().st_size),
        ),
        Category(
            name="checkpoints", known=Tally(files=1, bytes=SIZE), retained=Tally(files=1, bytes=SIZE), unknown=Tally()
        ),
        Category(name="loras", known=Tally(files=1, bytes=SIZE), retained=Tally(), unknown=Tally(files=1, bytes=4)),
        Category(name="vae", known=Tally(), retained=Tally(), unknown=Tally(files=1, bytes=len("/etc/hostname"))),
    ]
    assert found.files[0] == NotWanted(path="checkpoints/old.safetensors", bytes=SIZE, kind="Retained")
    assert {file.path for file in found.files[1:]} == {"clip", "loras/mine.pt", "notes.txt", "vae/link.safetensors"}
    assert found.files_left_out == 0
    assert found.total_bytes == volume.f_blocks * volume.f_frsize
    assert 0 < found.free_bytes <= found.total_bytes
    assert 5000 <= found.unfinished_bytes < 10_000
    assert found.loose_bytes == len(b"nobody has it")
    assert found.custom_nodes == [NodePackage(commit="b" * 40, bytes=2000), NodePackage(commit="a" * 40, bytes=10)]
    assert Inventory.model_validate_json(found.model_dump_json(by_alias=True)) == found


def test_an_empty_volume(store: Store) -> None:
    found = store.inventory(set())
    assert not found.categories + found.files + found.custom_nodes
    assert found.loose_bytes == found.unfinished_bytes == 0


def test_the_worst_that_can_be_there_has_a_bound(store: Store) -> None:
    """Long names of characters that JSON escapes, in more folders than there are."""
    worst = '"\\' * 120
    for number in range(210):
        file = store.layout.root / f"{number:03}{worst}" / (worst * 1) / worst
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(number))
        (store.layout.nodes / f"{number:03}{worst}").mkdir()
        (store.layout.nodes / f"{number:03}{worst}/x").write_bytes(b"x")
    found = store.inventory(set())
    assert len(found.model_dump_json(by_alias=True).encode()) < 200_000
    assert (len(found.files), found.files_left_out) == (200, 10)
    assert found.files[0].bytes == 209
    assert sum(category.unknown.files for category in found.categories) == 210
    assert sum(package.bytes for package in found.custom_nodes) == 210
    assert OTHERS in {category.name for category in found.categories}
    assert OTHERS in {package.commit for package in found.custom_nodes}


def test_names_are_safe_to_show(store: Store) -> None:
    (store.layout.root / "loras").mkdir()
    for name in (b"\x1b[2Jx.pt", b"\xff\xfe.pt", b"new\nline.pt", "modèle.pt".encode()):
        with open(os.path.join(os.fsencode(store.layout.root), b"loras", name), "wb"):  # noqa: PTH118, PTH123 - bytes
            pass
    found = store.inventory(set())
    assert {file.path for file in found.files} == {
        "loras/�[2Jx.pt",
        "loras/��.pt",
        "loras/new�line.pt",
        "loras/modèle.pt",
    }
    assert found.model_dump_json()


@pytest.mark.parametrize("text", ["a" * 300, "é" * 150, "日" * 100])
def test_long_names_keep_both_ends(text: str) -> None:
    assert printable(text, 300) == text
    shown = printable(f"start{text}end", 100)
    assert shown.startswith("start")
    assert shown.endswith("end")
    assert "…" in shown
    assert len(shown.encode()) <= 100


def test_files_that_vanish_meanwhile(store: Store) -> None:
    """A server's cache or a person at work: the walk goes on."""
    paths = ("loras/a.gguf", "loras/b.gguf", "loras/sub/c.gguf")
    for path in paths:
        write(store, path, b"x")
    walk = Tree(store.layout.root, store.layout.new).files()
    assert next(walk)[0] in paths[:2]
    for path in paths:
        (store.layout.root / path).unlink()
    (store.layout.root / "loras/sub").rmdir()
    assert list(walk) == []
