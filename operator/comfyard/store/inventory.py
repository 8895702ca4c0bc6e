"""What lies on a volume: ours or not, wanted or not, by ComfyUI's folders, in a form that stays below 200 kB."""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from comfyard.api.meta import Model
from comfyard.store.contents.copied import Copied
from comfyard.store.contents.linked import Linked
from comfyard.store.contents.tree import Tree
from comfyard.store.layout import Layout

OTHERS = "(others)"
"""Stands for all that would make a list too long."""

_FILES = 200
_NAMES = 64
_PATH_BYTES = 300
_NAME_BYTES = 64
_BLOCK = 512

Kind = Literal["Known", "Retained", "Unknown"]
"""Ours and wanted under this path; ours, and no bundle wants it here any more; not ours."""


class Tally(Model):
    """Files and their bytes. A file with several paths counts under each."""

    files: int = 0
    bytes: int = 0


class Category(Model):
    """A folder of ComfyUI; "" has what lies beside the folders."""

    name: str
    known: Tally
    retained: Tally
    unknown: Tally


class NotWanted(Model):
    """A file that no bundle wants where it is."""

    path: str
    bytes: int
    kind: Literal["Retained", "Unknown"]


class NodePackage(Model):
    """A package of custom nodes."""

    commit: str
    bytes: int


class Inventory(Model):
    """All that is on one volume.

    Attributes:
        time: When it was taken.
        total_bytes: Of the file system; on shared storage that may be more than the claim.
        free_bytes: Of the same.
        categories: By name.
        files: Those that no bundle wants, the largest first.
        files_left_out: How many more of them there are.
        unfinished_bytes: What downloads have so far.
        loose_bytes: Contents that no path has.
        custom_nodes: Largest first.
    """

    time: datetime
    total_bytes: int
    free_bytes: int
    categories: list[Category]
    files: list[NotWanted]
    files_left_out: int
    unfinished_bytes: int
    loose_bytes: int
    custom_nodes: list[NodePackage]


def take(layout: Layout, tree: Tree, contents: Linked | Copied, wanted: Collection[str]) -> Inventory:
    """Look at everything; what vanishes meanwhile is left out.

    Args:
        layout: The volume's.
        tree: The same volume's.
        contents: Of the same.
        wanted: Paths that a bundle wants.

    Raises:
        OSError: The volume does not read.
    """
    owner = contents.owner()
    seen: list[tuple[str, Kind, int]] = []
    for path, found in tree.files():
        kind: Kind = "Unknown" if owner(path, found) is None else "Known" if path in wanted else "Retained"
        seen.append((path, kind, found.st_size))
    volume = os.statvfs(layout.root)
    stray = [(size, path, kind) for path, kind, size in seen if kind != "Known"]
    stray.sort(key=lambda file: (-file[0], file[1]))
    return Inventory(
        time=datetime.now(UTC),
        total_bytes=volume.f_blocks * volume.f_frsize,
        free_bytes=volume.f_bavail * volume.f_frsize,
        categories=_categories(seen),
        files=[
            NotWanted(path=printable(path, _PATH_BYTES), bytes=size, kind=kind) for size, path, kind in stray[:_FILES]
        ],
        files_left_out=max(0, len(stray) - _FILES),
        unfinished_bytes=sum(_on_disk(layout.partial)),
        loose_bytes=sum(size for _, size in contents.loose()),
        custom_nodes=_custom_nodes(layout.nodes),
    )


def printable(text: str, most: int) -> str:
    """A name as it may be shown and kept in JSON: no control characters, no bytes that are no text, bounded.

    Args:
        text: The name, as the operating system gave it.
        most: Bytes of UTF-8 that it may have; what is left out of the middle is shown as an ellipsis.
    """
    clean = os.fsencode(text).decode(errors="replace")
    content = "".join(character if character.isprintable() else "�" for character in clean).encode()
    if len(content) <= most:
        return content.decode()
    half = (most - len("…".encode())) // 2
    return f"{content[:half].decode(errors='ignore')}…{content[-half:].decode(errors='ignore')}"


def _categories(seen: Iterable[tuple[str, Kind, int]]) -> list[Category]:
    files: Counter[tuple[str, Kind]] = Counter()
    sizes: Counter[tuple[str, Kind]] = Counter()
    seen = list(seen)
    kept = _kept(path.rpartition("/")[0].partition("/")[0] for path, _, _ in seen)
    for path, kind, size in seen:
        folder = path.rpartition("/")[0].partition("/")[0]
        name = folder if folder in kept else OTHERS
        files[name, kind] += 1
        sizes[name, kind] += size

    def tally(name: str, kind: Kind) -> Tally:
        return Tally(files=files[name, kind], bytes=sizes[name, kind])

    return [
        Category(
            name=printable(name, _NAME_BYTES),
            known=tally(name, "Known"),
            retained=tally(name, "Retained"),
            unknown=tally(name, "Unknown"),
        )
        for name in sorted({name for name, _ in files})
    ]


def _kept(folders: Iterable[str]) -> set[str]:
    """Those with the most files, as many as are shown each for itself."""
    return {folder for folder, _ in Counter(folders).most_common(_NAMES)}


def _custom_nodes(directory: Path) -> list[NodePackage]:
    found = [
        NodePackage(commit=printable(entry.name, _NAME_BYTES), bytes=sum(_sizes(entry)))
        for entry in directory.iterdir()
        if entry.is_dir() and not entry.is_symlink()
    ]
    found.sort(key=lambda package: (-package.bytes, package.commit))
    rest = sum(package.bytes for package in found[_NAMES:])
    return [*found[:_NAMES], *([NodePackage(commit=OTHERS, bytes=rest)] if rest else [])]


def _sizes(directory: Path) -> Iterable[int]:
    for folder, _, files in os.walk(directory):
        for name in files:
            with suppress(FileNotFoundError):
                yield (Path(folder) / name).lstat().st_size


def _on_disk(directory: Path) -> Iterable[int]:
    """Bytes that files take; unfinished ones may have holes."""
    for entry in directory.iterdir():
        with suppress(FileNotFoundError):
            yield entry.lstat().st_blocks * _BLOCK
