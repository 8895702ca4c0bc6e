"""Verified files by content, with a record each that saves hashing them again."""

import os
import stat
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from comfyard.store.files import FILE_MODE, read_or_none, sync_directory, write_durably


class Record(BaseModel):
    """What a file looked like when its content was verified; if it still does, nobody has written to it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    size: int
    mtime_ns: int
    inode: int


def record_of(found: os.stat_result) -> Record:
    """The record of a file as it is."""
    return Record(size=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino)


class Blobs:
    """The directory of files by SHA-256. All methods raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, sha256: str) -> Path:
        """Where a content lies, or would."""
        return self._directory / sha256

    def look(self, sha256: str) -> os.stat_result | None:
        """The file's stat; None when it is not there, or is not a file."""
        return regular_file(self.path(sha256))

    def verified(self, sha256: str) -> os.stat_result | None:
        """The file's stat if it was verified and has not changed since."""
        found = self.look(sha256)
        content = read_or_none(self._record(sha256))
        if found is None or content is None:
            return None
        try:
            return found if Record.model_validate_json(content) == record_of(found) else None
        except ValidationError:
            return None

    def install(self, file: Path, sha256: str) -> os.stat_result:
        """Move a file here, whose content was verified; durable when this returns."""
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fchmod(descriptor, FILE_MODE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        file.replace(self.path(sha256))
        sync_directory(self._directory)
        found = self.path(sha256).lstat()
        self.confirm(sha256, found)
        return found

    def confirm(self, sha256: str, hashed: os.stat_result) -> None:
        """Record that the file had the content of its name when it looked so; later changes then do not go unseen."""
        write_durably(self._record(sha256), record_of(hashed).model_dump_json().encode())

    def remove(self, sha256: str) -> None:
        """Forget a file whose content is not what its name says."""
        self._record(sha256).unlink(missing_ok=True)
        self.path(sha256).unlink(missing_ok=True)

    def _record(self, sha256: str) -> Path:
        return self._directory / f"{sha256}.json"


def regular_file(path: Path) -> os.stat_result | None:
    """The stat of a file; None when there is none, or a directory, a link, a device."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None
