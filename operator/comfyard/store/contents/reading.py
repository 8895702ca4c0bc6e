"""Finding out what files that are there contain, by reading them: known ones again, and those that others put there."""

import uuid
from collections.abc import Callable
from pathlib import Path

from comfyard.store.contents.blobs import Held
from comfyard.store.contents.checks import check
from comfyard.store.contents.copied import Copied
from comfyard.store.contents.copying import blake3_file, copy_file
from comfyard.store.contents.linked import Linked
from comfyard.store.contents.tree import Tree
from comfyard.store.errors import DigestMismatchError
from comfyard.store.layout import Layout
from comfyard.store.stop import Stop
from comfyard.store.transfer.download import Progress, Report
from comfyard.store.transfer.hashing import hash_file
from comfyard.store.transfer.space import Space
from comfyard.store.wants import Want


class Reader:
    """Reads for one want, and tells how far it is. All methods raise OSError, StoreError and StoppedError.

    Args:
        layout: The volume's.
        tree: The same volume's.
        space: The same volume's.
        contents: Where contents lie on it.
        want: The file.
        report: Told while it reads.
        stop: Ends it from another thread.
    """

    def __init__(
        self,
        layout: Layout,
        tree: Tree,
        space: Space,
        contents: Linked | Copied,
        want: Want,
        report: Report,
        stop: Stop,
    ) -> None:
        self._layout = layout
        self._tree = tree
        self._space = space
        self._contents = contents
        self._want = want
        self._report = report
        self._stop = stop

    def held(self, sha256: str) -> Held | None:
        """A file with that content, read only if nobody has since it was written to."""
        if held := self._contents.find(sha256, self._want.path):
            return held
        for place in self._contents.suspects(sha256, self._want.path):
            if self.is_still(sha256, place):
                return self._contents.blobs.held(sha256, place)
        return None

    def is_still(self, sha256: str, place: str) -> bool:
        """Read a file that should have that content: record that it has, or take it away."""
        blobs = self._contents.blobs
        looked = blobs.look(sha256, place)
        if looked is None:
            return False
        file, record = blobs.file(sha256, place), blobs.record(sha256)
        look = self._looking(looked.st_size)
        blake3 = record.blake3 if record else None
        if blake3 is None or blake3_file(file, look) != blake3:
            got = hash_file(file, look)
            if got.sha256 != sha256:
                # A file that comes from nowhere else is never destroyed, whatever has become of it.
                self._contents.drop(sha256, place, self._want.path if self._want.source.existing else None)
                return False
            blake3 = got.blake3
        blobs.confirm(sha256, place, looked, blake3)
        return True

    def adopted(self, sha256: str | None) -> Held | None:
        """A file that others put under the path, taken over if it is what is wanted.

        Args:
            sha256: What is wanted; None: whatever is there, if that is the source.
        """
        want = self._want
        there = self._tree.look(want.path)
        if there is None or (sha256 is None and not want.source.existing):
            return None
        file = self._layout.root / want.path
        try:
            got = hash_file(file, self._looking(there.st_size))
        except PermissionError:
            if want.source.existing:
                raise
            return None
        if sha256 and got.sha256 != sha256:
            if want.source.existing:
                raise DigestMismatchError(sha256, got.sha256)
            return None
        check(want, file, self._stop)
        held = self.held(got.sha256)
        if held and self._contents.is_near(held, want.path):
            return held
        taken = self._contents.adopt(want.path, got.sha256, there, got.blake3)
        return taken or self.copy(file, got.sha256, got.blake3, there.st_size)

    def copy(self, file: Path, sha256: str, blake3: str, size: int) -> Held | None:
        """Copy a file to those by content; None when it is not what it was said to be."""
        new = self._layout.new / uuid.uuid4().hex
        try:
            with self._space.promise(size):
                if copy_file(file, new, self._looking(size)) != blake3:
                    return None
                return self._contents.blobs.install(new, sha256, blake3)
        finally:
            new.unlink(missing_ok=True)

    def _looking(self, size: int) -> Callable[[int], None]:
        def look(done: int) -> None:
            self._stop.check()
            self._report(Progress(done, size, 0))

        return look
