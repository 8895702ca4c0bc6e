"""Files that survive a crash: what is written is on the disk, whole, or not there."""

import errno
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from comfyard.store.errors import NoSpaceError, UnsupportedVolumeError, VolumeError

FILE_MODE = 0o644
"""Servers read the models under another uid than the one that fetched them."""

DIRECTORY_MODE = 0o755

_PIECE = 1024 * 1024

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The volume is full, or its quota."""

_CANNOT = {errno.EOPNOTSUPP, errno.ENOSYS}
_NO_LINKS = {errno.EPERM, errno.EMLINK, errno.EINVAL, errno.EXDEV, *_CANNOT}


@contextmanager
def volume_errors(doing: str) -> Iterator[None]:
    """Turn what the operating system says of the volume into errors of the store.

    Args:
        doing: What is being done, as it stands in the message: "writing x".

    Raises:
        NoSpaceError: The volume or its quota is full.
        UnsupportedVolumeError: The file system does not have the operation.
        VolumeError: Anything else.
    """
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        if error.errno in FULL:
            raise NoSpaceError(f"{doing}: {said}; enlarge the claim or remove models from it") from error
        if error.errno in _CANNOT:
            raise UnsupportedVolumeError(f"{doing}: {said}; use a storage class with a POSIX file system") from error
        raise VolumeError(f"{doing}: {said} (the claim's volume)") from error


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_directory_at(descriptor)
    finally:
        os.close(descriptor)


def sync_directory_at(descriptor: int) -> None:
    """Make names in an open directory durable, where the file system knows how to."""
    with suppress_unsupported():
        os.fsync(descriptor)


@contextmanager
def suppress_unsupported() -> Iterator[None]:
    """Some network file systems refuse fsync of a directory: their names are durable at once, or never."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EINVAL, *_CANNOT}:
            raise


def write_durably(path: Path, content: bytes) -> None:
    """Replace a small file: after a crash there is the old content or the new one, nothing between."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
    except OSError:
        new.unlink(missing_ok=True)  # on a full disk the room is needed
        raise
    finally:
        os.close(descriptor)
    new.replace(path)
    sync_directory(path.parent)


def read_or_none(path: Path) -> bytes | None:
    """The content of a small file, None when it is not there."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def read_through(file: Path, take: Callable[[memoryview], object], report: Callable[[int], None]) -> None:
    """Read a file from start to end, through one buffer.

    Args:
        file: The file.
        take: Given each piece, which is good until it returns.
        report: Called with the bytes read so far after each piece; may raise to give up.

    Raises:
        OSError: It could not be read.
    """
    done = 0
    buffer = memoryview(bytearray(_PIECE))
    with file.open("rb", buffering=0) as opened:
        while count := opened.readinto(buffer):
            take(buffer[:count])
            done += count
            report(done)


def make_directory(path: Path) -> None:
    """Make a directory that others may read, whatever the umask says; one that is there stays as it is."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    path.chmod(DIRECTORY_MODE)
    sync_directory(path.parent)


def regular_file(path: Path) -> os.stat_result | None:
    """The stat of a file; None when there is none, or a directory, a link, a device."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def has_hard_links(directory: Path) -> bool:
    """Whether a file of this directory can have a second name: it is tried. Raises OSError."""
    file, link = (directory / uuid.uuid4().hex for _ in range(2))
    file.touch()
    try:
        os.link(file, link)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    finally:
        link.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
    return True
