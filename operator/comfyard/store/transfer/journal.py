"""An unfinished file and the journal that says how much of it may be trusted after a crash.

Both lie in `.comfyard/partial/`, under names that ComfyUI does not list. The journal is written after the data is on
the disk, so it never promises more than there is.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from comfyard.store.files import FULL, read_or_none, write_durably
from comfyard.store.transfer import intervals
from comfyard.store.transfer.intervals import Intervals
from comfyard.store.transfer.space import Promise, allocate

DATA_SUFFIX = ".part"
JOURNAL_SUFFIX = ".journal"

_ROOM = 1024 * 1024
_ONCE = 256 * 1024
"""Bytes of one write. For larger ones kernels look for pieces of memory of that size, which can take ten times as long
as writing."""

_AT_RISK = 128 * 1024 * 1024
"""Bytes after which it is time for a checkpoint, whatever the clock says: so the disk works while the rest comes in."""

_BLOCK = 512
"""What st_blocks counts in, whatever the file system has."""


class Journal(BaseModel):
    """What is known of an unfinished file.

    Attributes:
        source: Key of the source that it comes from; bytes of another source do not continue it.
        validator: Strong ETag or Last-Modified of what is being fetched; empty: it cannot be resumed.
        size: Bytes of the whole file, if the source said so.
        sha256: What the source says that the file is, if it does.
        durable: What of it is on the disk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: str
    validator: str
    size: int | None
    sha256: str | None = None
    durable: Intervals = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return self.size is not None and intervals.total(self.durable) == self.size


def read_journal(content: bytes | None) -> Journal | None:
    """A journal from its file; None when there is none, or it says nothing that makes sense."""
    if content is None:
        return None
    try:
        journal = Journal.model_validate_json(content)
    except ValidationError:
        return None
    return journal if intervals.are_sound(journal.durable, journal.size) else None


def resumable(journal: Journal | None, source: str, on_disk: int) -> bool:
    """Whether bytes of `source` may be added to what is there.

    Args:
        journal: The journal.
        source: Key of the source that is at hand.
        on_disk: Bytes of the data file. Fewer than promised: the volume has lost some, nothing of it is trusted.
    """
    if journal is None or journal.source != source or not journal.validator or not journal.durable:
        return False
    return journal.durable[-1][1] <= on_disk


@dataclass(frozen=True)
class Partial:
    """The place of one unfinished file."""

    directory: Path
    key: str

    @property
    def data(self) -> Path:
        """Its bytes."""
        return self.directory / f"{self.key}{DATA_SUFFIX}"

    @property
    def journal(self) -> Path:
        """Its journal."""
        return self.directory / f"{self.key}{JOURNAL_SUFFIX}"

    def load(self, source: str) -> Journal | None:
        """The journal, if the file can be continued from this source."""
        journal = read_journal(read_or_none(self.journal))
        on_disk = 0
        with suppress(FileNotFoundError):
            on_disk = self.data.lstat().st_size
        return journal if resumable(journal, source, on_disk) else None

    def allocated(self) -> int:
        """Bytes of the volume that it has already, written or not."""
        with suppress(FileNotFoundError):
            return self.data.lstat().st_blocks * _BLOCK
        return 0

    def discard(self) -> None:
        """Remove it; the journal first, so that it never tells of data that is not there."""
        self.journal.unlink(missing_ok=True)
        self.data.unlink(missing_ok=True)

    @contextmanager
    def writing(self, journal: Journal, checkpoint_seconds: float, promise: Promise) -> Iterator["Writer"]:
        """Open it for what is missing; what was written is made durable on the way out, always.

        Args:
            journal: What is there.
            checkpoint_seconds: How often what was written is made durable; 0: at each write.
            promise: Room for what is missing.
        """
        if not journal.durable:
            self.discard()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.data, flags, 0o600)
        try:
            writer = Writer(
                descriptor,
                journal,
                lambda j: write_durably(self.journal, j.model_dump_json().encode()),
                checkpoint_seconds,
                promise,
            )
            try:
                yield writer
            except BaseException:
                with suppress(OSError):  # it is the first error that counts
                    writer.save_what_fits()
                if not writer.written:
                    self.discard()
                raise
            writer.checkpoint()
        finally:
            os.close(descriptor)


class Writer:
    """Writes to an unfinished file, from several threads, and now and then makes durable what there is."""

    def __init__(
        self,
        descriptor: int,
        journal: Journal,
        save: Callable[[Journal], None],
        checkpoint_seconds: float,
        promise: Promise,
    ) -> None:
        self._descriptor = descriptor
        self._journal = journal
        self._save = save
        self._every = checkpoint_seconds
        self._promise = promise
        self._due = time.monotonic() + checkpoint_seconds
        self._written = journal.durable
        self._before = intervals.total(journal.durable)
        self._writing = threading.Lock()
        self._saving = threading.Lock()

    @property
    def written(self) -> Intervals:
        """What of the file is there, durable or not."""
        return self._written

    @property
    def size(self) -> int | None:
        """Bytes of the whole file, if they are known."""
        return self._journal.size

    @property
    def received(self) -> int:
        """Bytes that came on top of what was there."""
        return intervals.total(self._written) - self._before

    def write(self, content: bytes | memoryview, at: int) -> None:
        """Write at an offset. Raises OSError."""
        view = memoryview(content)
        while view:
            count = os.pwrite(self._descriptor, view[:_ONCE], at)
            with self._writing:
                self._written = intervals.with_added(self._written, at, at + count)
                self._promise.written(count)
            at += count
            view = view[count:]
        if not self._every:
            self.checkpoint()

    def take_room(self) -> None:
        """Have the volume set aside what the whole file needs, if it can and the size is known. Raises OSError."""
        if self._journal.size and allocate(self._descriptor, self._journal.size):
            with self._writing:
                self._promise.kept()

    def checkpoint_if_due(self) -> None:
        """A checkpoint, if the last one is long enough ago or much has come since. Raises OSError."""
        at_risk = intervals.total(self._written) - intervals.total(self._journal.durable)
        if time.monotonic() >= self._due or at_risk >= _AT_RISK:
            self.checkpoint()

    def finish(self) -> int:
        """All is written: cut off what a crash may have left behind the end, and say how long the file is.

        Raises:
            OSError: From the file system.
        """
        size = intervals.front(self._written)
        os.ftruncate(self._descriptor, size)
        self.checkpoint(size)
        return size

    def save_what_fits(self) -> None:
        """A checkpoint even on a full volume: some of the data makes room for the journal. Raises OSError."""
        try:
            self.checkpoint()
        except OSError as error:
            if error.errno not in FULL or not self._written:
                raise
            end = max(0, self._written[-1][1] - _ROOM)
            os.ftruncate(self._descriptor, end)
            self._written = intervals.cut_at(self._written, end)
            self.checkpoint()

    def checkpoint(self, size: int | None = None) -> None:
        """Data first, then the journal that speaks of it. Raises OSError.

        Args:
            size: Of the whole file, once it is known.
        """
        with self._saving:
            written = self._written
            os.fdatasync(self._descriptor)
            journal = self._journal.model_copy(
                update={"durable": written, "size": self._journal.size if size is None else size}
            )
            if journal != self._journal:
                self._save(journal)
                self._journal = journal
            self._due = time.monotonic() + self._every
