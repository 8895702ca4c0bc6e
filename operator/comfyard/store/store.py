"""The store of one volume: what is there, what can be made of it, and one attempt to fetch what is missing.

Everything here blocks. Nothing is remembered but what is on the disk, so a kill at any point costs work, never
correctness.
"""

import os
from collections.abc import Collection
from pathlib import Path

from comfyard.store.blobs import Blobs
from comfyard.store.download import Downloaded, Options, Progress, Report, download
from comfyard.store.errors import DigestMismatchError, NotASafetensorsError, SourceChangedError
from comfyard.store.files import read_or_none, volume_errors, write_durably
from comfyard.store.hashing import hash_file
from comfyard.store.journal import DATA_SUFFIX, JOURNAL_SUFFIX, Partial
from comfyard.store.layout import Layout
from comfyard.store.origin import Origin
from comfyard.store.safetensors import check_file, is_safetensors
from comfyard.store.space import Space
from comfyard.store.stop import Stop
from comfyard.store.tree import Tree
from comfyard.store.wants import Stored, Want

_HEX = 64


class Store:
    """The files of one volume. One process may write to it (`lock`); its methods may be called from many threads.

    Args:
        root: Where the volume is mounted.
        options: Of downloads.
    """

    def __init__(self, root: Path, options: Options | None = None) -> None:
        self.layout = Layout(root)
        self._options = options or Options()
        self._blobs = Blobs(self.layout.blobs)
        self._tree = Tree(root, self.layout.new)
        self._space = Space(root)
        self._suspects: dict[str, str] = {}

    def clear(self) -> None:
        """Clear links that a crash left on their way; only for who holds the lock. Raises StoreError."""
        with volume_errors("clearing .comfyard"):
            self._tree.sweep()

    def settle(self, want: Want) -> Stored | None:
        """Put in place what is known to be there, at the cost of a few stats; None: it needs reading or fetching.

        Raises:
            StoreError: It cannot be put there.
        """
        sha256 = want.sha256 or self._recall(want)
        with volume_errors(f"looking at {want.path}"):
            found = self._blobs.verified(sha256) if sha256 else None
            if sha256 is None or found is None:
                return None
            return self._publish(want, sha256, found)

    def recover(self, want: Want, report: Report, stop: Stop) -> Stored | None:
        """Hash what is there without a valid record, and use it if it is what is wanted.

        Args:
            want: The file.
            report: Called while it hashes.
            stop: Ends it from another thread.

        Returns:
            What is in place now; None when it has to be fetched. A file that was changed after it had been verified is
            gone then, from its path too.

        Raises:
            StoreError: The volume does not read or write.
            StoppedError: It was asked to stop.
        """
        sha256 = want.sha256 or self._recall(want)
        if sha256 is None:
            return None
        with volume_errors(f"verifying {want.path}"):
            blob = self._blobs.look(sha256)
            if blob:
                if self._hash(self._blobs.path(sha256), blob.st_size, report, stop) == sha256:
                    self._blobs.confirm(sha256, blob)
                    return self._publish(want, sha256, blob)
                self._tree.withdraw(want.path, blob.st_ino)
                self._blobs.remove(sha256)
                return None
            return self._adopt(want, sha256, report, stop)

    def fetch(self, want: Want, origin: Origin, report: Report, stop: Stop) -> Stored:
        """Try once to fetch a file, to verify it and to put it in place.

        Args:
            want: The file.
            origin: Its source.
            report: Called after each piece.
            stop: Ends it from another thread; what is there then is kept.

        Raises:
            StoreError: With the cause.
            StoppedError: It was asked to stop.
        """
        partial = self._partial(want)
        got = download(origin, partial, self._space, report, stop, self._options)
        with volume_errors(f"publishing {want.path}"):
            self._judge(want, partial, got)
            found = self._blobs.verified(got.sha256) or self._blobs.install(partial.data, got.sha256)
            if want.sha256 is None:
                write_durably(self._origin_record(want), got.sha256.encode())
            return self._publish(want, got.sha256, found)

    def sweep(self, wanted: Collection[str]) -> None:
        """Remove unfinished files of contents that nobody wants; none of them may be in work. Raises StoreError.

        Args:
            wanted: Content keys.
        """
        with volume_errors("clearing unfinished files"):
            for entry in self.layout.partial.iterdir():
                key = entry.name.partition(".")[0]
                if key not in wanted or not entry.name.endswith((DATA_SUFFIX, JOURNAL_SUFFIX)):
                    entry.unlink(missing_ok=True)

    def _judge(self, want: Want, partial: Partial, got: Downloaded) -> None:
        """Raise unless the file is what is wanted; what is wrong is removed."""
        try:
            if want.sha256 and got.sha256 != want.sha256:
                raise self._mismatch(want.sha256, got)
            if is_safetensors(want.path):
                check_file(partial.data)
        except (DigestMismatchError, SourceChangedError, NotASafetensorsError):
            partial.discard()
            raise

    def _mismatch(self, wanted: str, got: Downloaded) -> DigestMismatchError | SourceChangedError:
        """A file put together from several answers is given one more chance: a server may have mixed two versions."""
        if got.resumed and self._suspects.get(wanted) != got.sha256:
            self._suspects[wanted] = got.sha256
            return SourceChangedError(f"the parts make sha256 {got.sha256}, wanted {wanted}; fetching all of it anew")
        return DigestMismatchError(wanted, got.sha256)

    def _publish(self, want: Want, sha256: str, found: os.stat_result) -> Stored:
        there = self._tree.look(want.path)
        if there is None or not os.path.samestat(there, found):
            if is_safetensors(want.path):  # it may have come in under another kind of name
                check_file(self._blobs.path(sha256))
            self._tree.publish(self._blobs.path(sha256), want.path)
        self._partial(want).discard()
        return Stored(sha256, found.st_size)

    def _adopt(self, want: Want, sha256: str, report: Report, stop: Stop) -> Stored | None:
        """Use a file that was put under its path by others, if it is the right one."""
        there = self._tree.look(want.path)
        file = self.layout.root / want.path
        if there is None or self._hash(file, there.st_size, report, stop) != sha256:
            return None
        if not self._tree.adopt(want.path, self._blobs.path(sha256)):
            return None
        self._blobs.confirm(sha256, there)
        return self._publish(want, sha256, there)

    @staticmethod
    def _hash(file: Path, size: int, report: Report, stop: Stop) -> str:
        def look(done: int) -> None:
            stop.check()
            report(Progress(done, size, 0))

        return hash_file(file, look)

    def _recall(self, want: Want) -> str | None:
        """The digest of what a source without one gave."""
        with volume_errors("reading .comfyard"):
            content = read_or_none(self._origin_record(want))
        return content.decode() if content and len(content) == _HEX and content.isalnum() else None

    def _partial(self, want: Want) -> Partial:
        return Partial(self.layout.partial, want.content_key)

    def _origin_record(self, want: Want) -> Path:
        return self.layout.origins / want.source_key
