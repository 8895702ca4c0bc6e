"""An unfinished file and the journal that says how much of it may be trusted after a crash.

Both lie in `.comfyard/partial/`, under names that ComfyUI does not list. The journal is written after the data is on
the disk, so it never promises more than there is.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from comfyard.store.files import FULL, read_or_none, write_durably

DATA_SUFFIX = ".part"
JOURNAL_SUFFIX = ".journal"

_ROOM = 1024 * 1024


class Journal(BaseModel):
    """What is known of an unfinished file.

    Attributes:
        source: Key of the source that it comes from; bytes of another source do not continue it.
        validator: Strong ETag or Last-Modified of what is being fetched; empty: it cannot be resumed.
        size: Bytes of the whole file, if the source said so.
        durable: Bytes from the start that are on the disk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: str
    validator: str
    size: int | None
    durable: int


def read_journal(content: bytes | None) -> Journal | None:
    """A journal from its file; None when there is none, or it says nothing that makes sense."""
    if content is None:
        return None
    try:
        journal = Journal.model_validate_json(content)
    except ValidationError:
        return None
    whole = journal.size if journal.size is not None else journal.durable
    return journal if 0 <= journal.durable <= whole else None


def resumable(journal: Journal | None, source: str, on_disk: int) -> bool:
    """Whether bytes of `source` may be added to what is there.

    Args:
        journal: The journal.
        source: Key of the source that is at hand.
        on_disk: Bytes of the data file. Fewer than promised: the volume has lost some, nothing of it is trusted.
    """
    return (
        journal is not None and journal.source == source and bool(journal.validator) and 0 < journal.durable <= on_disk
    )


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

    def discard(self) -> None:
        """Remove it; the journal first, so that it never tells of data that is not there."""
        self.journal.unlink(missing_ok=True)
        self.data.unlink(missing_ok=True)

    @contextmanager
    def writing(self, journal: Journal, checkpoint_seconds: float) -> Iterator["Writer"]:
        """Open it for more bytes after journal.durable; what was written is made durable on the way out, always."""
        if journal.durable == 0:
            self.discard()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.data, flags, 0o600)
        try:
            os.ftruncate(descriptor, journal.durable)
            writer = Writer(
                descriptor,
                journal,
                lambda j: write_durably(self.journal, j.model_dump_json().encode()),
                checkpoint_seconds,
            )
            try:
                yield writer
            except BaseException:
                with suppress(OSError):  # it is the first error that counts
                    writer.save_what_fits()
                raise
            writer.checkpoint()
        finally:
            os.close(descriptor)


class Writer:
    """Appends to an unfinished file, and now and then makes durable what there is.

    Attributes:
        position: Bytes written, counted from the start of the file.
    """

    def __init__(
        self, descriptor: int, journal: Journal, save: Callable[[Journal], None], checkpoint_seconds: float
    ) -> None:
        self.position = journal.durable
        self._descriptor = descriptor
        self._journal = journal
        self._save = save
        self._every = checkpoint_seconds
        self._due = time.monotonic() + checkpoint_seconds

    def append(self, content: bytes) -> None:
        """Write at the end; a checkpoint when one is due. Raises OSError."""
        view = memoryview(content)
        while view:
            count = os.pwrite(self._descriptor, view, self.position)
            self.position += count
            view = view[count:]
        if time.monotonic() >= self._due:
            self.checkpoint()

    def save_what_fits(self) -> None:
        """A checkpoint even on a full volume: some of the data makes room for the journal. Raises OSError."""
        try:
            self.checkpoint()
        except OSError as error:
            if error.errno not in FULL:
                raise
            self.position = max(self._journal.durable, self.position - _ROOM)
            os.ftruncate(self._descriptor, self.position)
            self.checkpoint()

    def checkpoint(self) -> None:
        """Data first, then the journal that speaks of it. Raises OSError."""
        os.fdatasync(self._descriptor)
        if self.position != self._journal.durable:
            journal = self._journal.model_copy(update={"durable": self.position})
            self._save(journal)
            self._journal = journal
        self._due = time.monotonic() + self._every
