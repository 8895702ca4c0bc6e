"""Where contents lie on a volume without hard links: under their paths, each a file of its own.

Such volumes (SMB, object stores, FAT) seldom keep the numbers of files either, so size and time tell them.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from comfyard.store.contents.blobs import BLOB, Blobs, Held
from comfyard.store.contents.tree import Owner, Tree
from comfyard.store.layout import Layout


class Copied:
    """All methods raise OSError, and what Tree raises.

    Args:
        layout: The volume's.
        tree: The same volume's.
    """

    def __init__(self, layout: Layout, tree: Tree) -> None:
        self.blobs = Blobs(layout, tree, inodes=False)
        self._tree = tree

    def find(self, sha256: str, path: str) -> Held | None:
        """A verified file with the content that is of use for a path: its own first, else one to move or to copy."""
        for place in self._places(sha256, path):
            if held := self.blobs.held(sha256, place):
                return held
        return None

    def suspects(self, sha256: str, path: str) -> list[str]:
        """Places where the content should be, verified or not; the path's own first.

        What others have under their paths is theirs to look at: it may have been replaced by a person.
        """
        places = [place for place in self._places(sha256, path) if place in {path, BLOB}]
        return [place for place in places if self.blobs.look(sha256, place)]

    def is_placed(self, held: Held, path: str) -> bool:
        """Whether a path has the content."""
        return held.place == path

    def is_near(self, held: Held, path: str) -> bool:
        """Whether a path can get the content without copying it."""
        return held.place in {path, BLOB}

    def place(self, held: Held, path: str) -> None:
        """Give a path the content, in place of what was there; it must be near."""
        self._tree.move(held.file, path)
        self.blobs.moved(held, path)

    def adopt(self, path: str, sha256: str, looked: os.stat_result, blake3: str) -> Held:
        """Take a file that others put under a path, and that had this content when it looked so."""
        with suppress(PermissionError):  # the volume has no modes, but what it was mounted with
            self._tree.open_to_readers(path)
        return self.blobs.confirm(sha256, path, looked, blake3)

    def drop(self, sha256: str, place: str, spared: str | None) -> None:
        """Take away a file whose content is not what it should be, unless its path is spared."""
        found = self.blobs.look(sha256, place)
        self.blobs.forget(sha256, place)  # from here on it counts as unverified, should we be killed
        if place == BLOB:
            self.blobs.file(sha256).unlink(missing_ok=True)
        elif found and place != spared:
            self._tree.unlink(place, lambda now: _same(now, found))

    def remove(self, path: str, sha256: str) -> bool:
        """Take a content away from a path; whether it was there."""
        held = self.blobs.held(sha256, path)
        if held is None or not self._tree.unlink(path, lambda now: _same(now, held.found)):
            return False
        self.blobs.forget(sha256, path)
        return True

    def owner(self) -> Owner:
        """What tells whose a file of the tree is, as things are now."""
        ours: dict[tuple[str, int, int], str] = {}
        for sha256 in self.blobs.known():
            if record := self.blobs.record(sha256):
                ours |= {(place, record.size, mark.mtime_ns): sha256 for place, mark in record.places.items()}
        return lambda path, there: ours.get((path, there.st_size, there.st_mtime_ns))

    def loose(self) -> Iterator[tuple[str, int]]:
        """Contents that no path has, and their bytes."""
        for sha256 in self.blobs.known():
            record = self.blobs.record(sha256)
            if not any(self.blobs.held(sha256, place) for place in (record.places if record else ()) if place != BLOB):
                blob = self.blobs.look(sha256)
                yield sha256, blob.st_size if blob else 0

    def _places(self, sha256: str, path: str) -> list[str]:
        record = self.blobs.record(sha256)
        places = record.places if record else {}
        own = [path] if path in places else []
        return [*own, BLOB, *(place for place in places if place not in {path, BLOB})]


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)
