"""Contents of files, each with a record that saves reading it again.

A content lies in `.comfyard/sha256`, or at places in the tree, or both: linked.py and copied.py know which. The place
"" is the file in `.comfyard/sha256`, others are paths of the tree.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from comfyard.store.contents.tree import Tree
from comfyard.store.errors import PathConflictError, UnsafePathError
from comfyard.store.files import FILE_MODE, read_or_none, regular_file, sync_directory, write_durably
from comfyard.store.layout import Layout

BLOB = ""
"""The place of a file among those by content."""

_RECORD = ".json"
_HEX = 64


class Mark(BaseModel):
    """What a file looked like when its content was read and found right; if it still does, nobody has written to it.

    Attributes:
        mtime_ns: Its time.
        inode: Its number, where the volume keeps numbers.
        verified: When that was.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    mtime_ns: int
    inode: int
    verified: datetime


class Record(BaseModel):
    """What is known of a content.

    Attributes:
        size: Its bytes.
        blake3: Its other digest, which is cheaper to check; None in records of an earlier form.
        places: Where it lies.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    size: int
    blake3: str | None = None
    places: dict[str, Mark] = {}


@dataclass(frozen=True)
class Held:
    """A file with a content that was verified, and that has not changed since.

    Attributes:
        sha256: The content.
        place: Where it lies.
        file: The same, to read it.
        found: What it looks like.
        blake3: Its other digest.
        verified: When it was read last.
    """

    sha256: str
    place: str
    file: Path
    found: os.stat_result
    blake3: str
    verified: datetime


class Blobs:
    """Records of contents, and the files among those by content. All methods raise OSError.

    Args:
        layout: The volume's.
        tree: The same volume's.
        inodes: Whether the number of a file stays the same.
    """

    def __init__(self, layout: Layout, tree: Tree, *, inodes: bool) -> None:
        self._directory = layout.blobs
        self._root = layout.root
        self._tree = tree
        self._inodes = inodes
        self._lock = threading.Lock()

    def file(self, sha256: str, place: str = BLOB) -> Path:
        """Where a content lies at a place, or would."""
        return self._root / place if place else self._directory / sha256

    def look(self, sha256: str, place: str = BLOB) -> os.stat_result | None:
        """The stat of the file there; None when there is none, or it is not a file."""
        if place == BLOB:
            return regular_file(self.file(sha256))
        with suppress(PathConflictError, UnsafePathError):  # something else is there now
            return self._tree.look(place)
        return None

    def held(self, sha256: str, place: str = BLOB) -> Held | None:
        """The content at a place, if it was verified there and has not changed since."""
        record = self.record(sha256)
        mark = record.places.get(place) if record else None
        if record is None or record.blake3 is None or mark is None:
            return None
        found = self.look(sha256, place)
        if found is None or found.st_size != record.size or found.st_mtime_ns != mark.mtime_ns:
            return None
        if self._inodes and found.st_ino != mark.inode:
            return None
        return Held(sha256, place, self.file(sha256, place), found, record.blake3, mark.verified)

    def record(self, sha256: str) -> Record | None:
        """What is known of a content."""
        content = read_or_none(self._record_file(sha256))
        if content is None:
            return None
        try:
            return Record.model_validate_json(content)
        except ValidationError:
            return None

    def confirm(self, sha256: str, place: str, looked: os.stat_result, blake3: str) -> Held:
        """Record that the file had this content when it looked so; later changes then do not go unseen."""
        held = Held(sha256, place, self.file(sha256, place), looked, blake3, datetime.now(UTC))
        self._mark(held)
        return held

    def install(self, file: Path, sha256: str, blake3: str) -> Held:
        """Move a file, whose content was verified, among those by content; durable when this returns."""
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            with suppress(PermissionError):  # our own file: the volume has no modes, but what it was mounted with
                os.fchmod(descriptor, FILE_MODE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        file.replace(self.file(sha256))
        sync_directory(self._directory)
        return self.confirm(sha256, BLOB, self.file(sha256).lstat(), blake3)

    def moved(self, held: Held, place: str) -> None:
        """Record that a file lies elsewhere now."""
        if found := self.look(held.sha256, place):
            self._mark(replace(held, place=place, found=found))
        self.forget(held.sha256, held.place)

    def forget(self, sha256: str, place: str = BLOB) -> None:
        """Record that a content is not at a place; a record without any goes."""
        with self._lock:
            record = self.record(sha256)
            places = {name: mark for name, mark in record.places.items() if name != place} if record else {}
            if record and places:
                self._write(sha256, record.model_copy(update={"places": places}))
            else:
                self._record_file(sha256).unlink(missing_ok=True)
                sync_directory(self._directory)

    def discard(self, sha256: str) -> None:
        """Remove a content; the record first, so that it never speaks for another file."""
        with self._lock:
            self._record_file(sha256).unlink(missing_ok=True)
            sync_directory(self._directory)
        self.file(sha256).unlink(missing_ok=True)

    def known(self) -> Iterator[str]:
        """All contents that have a file or a record."""
        names = {entry.name.removesuffix(_RECORD) for entry in self._directory.iterdir()}
        return (name for name in sorted(names) if len(name) == _HEX and name.isalnum())

    def _mark(self, held: Held) -> None:
        mark = Mark(mtime_ns=held.found.st_mtime_ns, inode=held.found.st_ino, verified=held.verified)
        with self._lock:
            record = self.record(held.sha256)
            places = {**(record.places if record else {}), held.place: mark}
            self._write(held.sha256, Record(size=held.found.st_size, blake3=held.blake3, places=places))

    def _write(self, sha256: str, record: Record) -> None:
        write_durably(self._record_file(sha256), record.model_dump_json().encode())

    def _record_file(self, sha256: str) -> Path:
        return self._directory / f"{sha256}{_RECORD}"
