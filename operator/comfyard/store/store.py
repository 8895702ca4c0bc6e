"""The store of one volume: what is there, what can be made of it, and one attempt to fetch what is missing.

Everything here blocks. Nothing is remembered but what is on the disk, so a kill at any point costs work, never
correctness.
"""

from collections.abc import Collection
from functools import cached_property
from pathlib import Path

from comfyard.store import inventory
from comfyard.store.contents import pickles, upkeep
from comfyard.store.contents.blobs import Held
from comfyard.store.contents.checks import Judge, admit, check
from comfyard.store.contents.copied import Copied
from comfyard.store.contents.kinds import weights_of
from comfyard.store.contents.linked import Linked
from comfyard.store.contents.origins import Origins
from comfyard.store.contents.reading import Reader
from comfyard.store.contents.tree import Tree
from comfyard.store.errors import InUseError, PathConflictError, UnsafePathError
from comfyard.store.files import has_hard_links, volume_errors
from comfyard.store.http.web import Web
from comfyard.store.inventory import Inventory
from comfyard.store.layout import Layout
from comfyard.store.origin import Origin
from comfyard.store.stop import Stop
from comfyard.store.transfer.download import Options, Report, download
from comfyard.store.transfer.journal import Partial
from comfyard.store.transfer.space import Space
from comfyard.store.wants import Stored, Want


class Store:
    """The files of one volume. One process may write to it (`lock`); its methods may be called from many threads.

    Args:
        root: Where the volume is mounted.
        options: Of downloads.
    """

    def __init__(self, root: Path, options: Options | None = None) -> None:
        self.layout = Layout(root)
        self._options = options or Options()
        self._tree = Tree(root, self.layout.new)
        self.space = Space(root)
        self._origins = Origins(self.layout.origins)
        self._judge = Judge()

    @cached_property
    def _contents(self) -> Linked | Copied:
        """Where contents lie depends on the volume, which is asked once. Raises OSError."""
        kind = Linked if has_hard_links(self.layout.new) else Copied
        return kind(self.layout, self._tree)

    def clear(self) -> None:
        """Clear what a crash left on its way; only for who holds the lock. Raises StoreError."""
        with volume_errors("clearing .comfyard"):
            upkeep.clear(self.layout)

    def settle(self, want: Want, *, replace: bool = True) -> Stored | None:
        """Put in place what is known to be there: a few stats and its header. None: it needs reading or fetching.

        Args:
            want: The file.
            replace: Whether another content of ours may be replaced under its path.

        Raises:
            StoreError: It cannot be put there.
        """
        admit(want)
        with volume_errors(f"looking at {want.path}"):
            sha256 = self._expected(want)
            held = self._contents.find(sha256, want.path) if sha256 else None
            if held is None or self._is_others(want, held):
                return None
            reads = pickles.is_pickle(want.path) or not self._contents.is_near(held, want.path)
            if reads and not self._contents.is_placed(held, want.path):
                return None
            return self._publish(want, held, Stop(), replace=replace)

    def recover(self, want: Want, report: Report, stop: Stop, *, replace: bool = True) -> Stored | None:
        """Read what is there, and use it if it is what is wanted.

        Args:
            want: The file.
            report: Called while it reads.
            stop: Ends it from another thread.
            replace: Whether another content of ours may be replaced under its path.

        Returns:
            What is in place now; None when it has to be fetched. A file that was changed after it had been verified is
            gone then, from its paths too.

        Raises:
            StoreError: The volume does not read or write, or the file that is there cannot be used.
            StoppedError: It was asked to stop.
        """
        admit(want)
        with volume_errors(f"verifying {want.path}"):
            sha256 = self._expected(want)
            reader = self._reader(want, report, stop)
            held = reader.held(sha256) if sha256 else None
            if held is None or self._is_others(want, held):
                held = reader.adopted(sha256)
            elif not self._contents.is_near(held, want.path):
                self._refuse_replacing(want, replace=replace)
                held = reader.copy(held.file, held.sha256, held.blake3, held.found.st_size)
            if held is None:
                return None
            self._remember(want, held.sha256)
            return self._publish(want, held, stop, replace=replace)

    def verify(self, want: Want, report: Report, stop: Stop) -> Stored | None:
        """Read a file that is in place again, as if nobody had before.

        Args:
            want: The file.
            report: Called while it reads.
            stop: Ends it from another thread.

        Returns:
            What is in place, verified now. None when it was not what it should be and is gone, or was not there.

        Raises:
            StoreError: The volume does not read or write.
            StoppedError: It was asked to stop.
        """
        admit(want)
        with volume_errors(f"verifying {want.path}"):
            sha256 = self._expected(want)
            places = self._contents.suspects(sha256, want.path) if sha256 else []
            if sha256 is None or not places or not self._reader(want, report, stop).is_still(sha256, places[0]):
                return None
        return self.settle(want)

    def fetch(
        self, want: Want, origin: Origin, web: Web, report: Report, stop: Stop, *, replace: bool = True
    ) -> Stored:
        """Try once to fetch a file, to verify it and to put it in place.

        Args:
            want: The file.
            origin: Its source.
            web: How it is reached.
            report: Called after each piece.
            stop: Ends it from another thread; what is there then is kept.
            replace: Whether another content of ours may be replaced under its path; if not, it waits beside it.

        Raises:
            StoreError: With the cause.
            StoppedError: It was asked to stop.
        """
        admit(want)
        partial = self._partial(want)
        got = download(origin, web, partial, self.space, report, stop, self._options, want.sha256)
        with volume_errors(f"publishing {want.path}"):
            self._judge.judge(want, partial, got, stop)
            self._remember(want, got.sha256)  # first: a content that nobody names may be collected
            held = self._contents.find(got.sha256, want.path)
            if held is None or not self._contents.is_near(held, want.path):
                held = self._contents.blobs.install(partial.data, got.sha256, got.blake3)
            return self._publish(want, held, stop, replace=replace, judged=True)

    def sweep(self, wanted: Collection[str]) -> None:
        """Remove unfinished files of contents that nobody wants; none of them may be in work. Raises StoreError.

        Args:
            wanted: Content keys.
        """
        with volume_errors("clearing unfinished files"):
            upkeep.sweep(self.layout, wanted)

    def remove(self, path: str, sha256: str) -> bool:
        """Take a content away from a path. Raises StoreError.

        Args:
            path: Where it was put.
            sha256: What was put there; a file that is something else stays.

        Returns:
            Whether it was there.
        """
        with volume_errors(f"removing {path}"):
            try:
                return self._contents.remove(path, sha256)
            except (PathConflictError, UnsafePathError):  # something else is there
                return False

    def collect(self, wanted: Collection[str], wanted_sources: Collection[str]) -> int:
        """Remove contents that no path has and nobody wants. Raises StoreError.

        Args:
            wanted: SHA-256 of contents.
            wanted_sources: Keys of sources; what they gave is wanted too.

        Returns:
            Bytes that are free now.
        """
        with volume_errors("removing contents without a path"):
            return upkeep.collect(self._contents, self._origins, wanted, wanted_sources)

    def inventory(self, wanted: Collection[str]) -> Inventory:
        """Look at all that is on the volume. Raises StoreError.

        Args:
            wanted: Paths that a bundle wants.
        """
        with volume_errors("taking the inventory"):
            return inventory.take(self.layout, self._tree, self._contents, wanted)

    def _publish(self, want: Want, held: Held, stop: Stop, *, replace: bool, judged: bool = False) -> Stored:
        weights = weights_of(want.path, held.file)  # before it may be moved
        if not self._contents.is_placed(held, want.path):
            if not judged:  # it may have come in under another kind of name
                check(want, held.file, stop)
            self._refuse_replacing(want, replace=replace)
            self._contents.place(held, want.path)
        self._partial(want).discard()
        return Stored(held.sha256, held.found.st_size, held.verified, weights)

    def _refuse_replacing(self, want: Want, *, replace: bool) -> None:
        """Raise InUseError if another content of ours is there, and must stay."""
        there = None if replace else self._tree.look(want.path)
        if there and self._contents.owner()(want.path, there):
            raise InUseError(f"{want.path} has another content that running jobs use; it is replaced when they end")

    def _is_others(self, want: Want, held: Held) -> bool:
        """Whether there is something else under the path of a file that comes from nowhere else: it is not ours."""
        if not want.source.existing or self._contents.is_placed(held, want.path):
            return False
        return self._tree.look(want.path) is not None

    def _expected(self, want: Want) -> str | None:
        """What must be under the path, if that is known before anything was fetched."""
        return want.sha256 or self._origins.recall(want.source_key)

    def _remember(self, want: Want, sha256: str) -> None:
        if want.sha256 is None:
            self._origins.record(want.source_key, sha256)

    def _reader(self, want: Want, report: Report, stop: Stop) -> Reader:
        return Reader(self.layout, self._tree, self.space, self._contents, want, report, stop)

    def _partial(self, want: Want) -> Partial:
        return Partial(self.layout.partial, want.content_key)
