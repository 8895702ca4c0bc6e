"""Where contents lie on a volume with hard links: among those by content, and every path is a further name."""

import os
from collections.abc import Iterator
from contextlib import suppress

from comfyard.store.contents.blobs import BLOB, Blobs, Held
from comfyard.store.contents.tree import Owner, Tree
from comfyard.store.errors import UnsafePathError
from comfyard.store.layout import Layout


class Linked:
    """All methods raise OSError, and what Tree raises.

    Args:
        layout: The volume's.
        tree: The same volume's.
    """

    def __init__(self, layout: Layout, tree: Tree) -> None:
        self.blobs = Blobs(layout, tree, inodes=True)
        self._tree = tree

    def find(self, sha256: str, path: str) -> Held | None:  # noqa: ARG002 - one place serves all paths
        """A verified file with the content that is of use for a path."""
        return self.blobs.held(sha256)

    def suspects(self, sha256: str, path: str) -> list[str]:  # noqa: ARG002 - likewise
        """Places where the content should be, verified or not."""
        return [BLOB] if self.blobs.look(sha256) else []

    def is_placed(self, held: Held, path: str) -> bool:
        """Whether a path has the content."""
        there = self._tree.look(path)
        return there is not None and os.path.samestat(there, held.found)

    def is_near(self, held: Held, path: str) -> bool:  # noqa: ARG002 - likewise
        """Whether a path can get the content without copying it."""
        return True

    def place(self, held: Held, path: str) -> None:
        """Give a path the content, in place of what was there."""
        self._tree.link(held.file, path)

    def adopt(self, path: str, sha256: str, looked: os.stat_result, blake3: str) -> Held | None:
        """Take a file that others put under a path, and that had this content when it looked so.

        Returns:
            None when that is not allowed; it has to be copied then.
        """
        if not self._tree.adopt(path, looked, self.blobs.file(sha256)):
            return None
        return self.blobs.confirm(sha256, BLOB, looked, blake3)

    def drop(self, sha256: str, place: str, spared: str | None) -> None:
        """Take away a file whose content is not what it should be, from all paths but one that is spared."""
        found = self.blobs.look(sha256, place)
        self.blobs.forget(sha256)  # from here on it counts as unverified, should we be killed
        for path, there in self._tree.files():
            if found and os.path.samestat(there, found) and path != spared:
                with suppress(UnsafePathError):  # not a name that we give
                    self._tree.unlink(path, lambda now: os.path.samestat(now, found))
        self.blobs.discard(sha256)

    def remove(self, path: str, sha256: str) -> bool:
        """Take a content away from a path; whether it was there."""
        blob = self.blobs.look(sha256)
        return blob is not None and self._tree.unlink(path, lambda now: os.path.samestat(now, blob))

    def owner(self) -> Owner:
        """What tells whose a file of the tree is, as things are now."""
        found = ((sha256, self.blobs.look(sha256)) for sha256 in self.blobs.known())
        ours = {(blob.st_dev, blob.st_ino): sha256 for sha256, blob in found if blob}
        return lambda _, there: ours.get((there.st_dev, there.st_ino))

    def loose(self) -> Iterator[tuple[str, int]]:
        """Contents that no path has, and their bytes."""
        for sha256 in self.blobs.known():
            blob = self.blobs.look(sha256)
            if blob is None or blob.st_nlink == 1:
                yield sha256, blob.st_size if blob else 0
