"""Room on the volume: promised to downloads before they begin, so that two do not count on the same bytes."""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comfyard.store.errors import NoSpaceError
from comfyard.store.files import FULL, volume_errors

MARGIN = 32 * 1024 * 1024
"""Bytes that stay free: journals, records and directories need room too."""

_MEGABYTE = 1_000_000
_KEEP_SIZE = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def lacking(free: int, promised: int, needed: int, margin: int = MARGIN) -> int:
    """Bytes that are missing for something of that size; 0 when it fits."""
    return max(0, needed + promised + margin - free)


def allocate(descriptor: int, size: int) -> bool:
    """Take room for a file of that size, which stays as long as it is: it must not look whole before it is.

    Not by posix_fallocate: where the file system cannot, that writes into each block, for hours on a network.

    Returns:
        Whether the file system could.

    Raises:
        OSError: There is not so much room.
    """
    fallocate = getattr(_LIBC, "fallocate", None)  # of Linux
    if fallocate is None:
        return False
    if fallocate(descriptor, _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size)) == 0:
        return True
    number = ctypes.get_errno()
    if number in FULL:
        raise OSError(number, os.strerror(number))
    return False


class Promise:
    """Room for one download; what was written of it is no longer counted twice."""

    def __init__(self, size: int) -> None:
        self.open = size

    def written(self, count: int) -> None:
        """So many bytes have become part of what is used."""
        self.open = max(0, self.open - count)

    def kept(self) -> None:
        """All of it has become part of what is used."""
        self.open = 0


class Space:
    """The free bytes of one volume, less what is promised."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._promises: list[Promise] = []
        self._waiting: list[Promise] = []

    def free(self) -> int:
        """Bytes that are neither used nor promised. Raises VolumeError."""
        with volume_errors("looking for room"):
            found = os.statvfs(self._root)
        return found.f_bavail * found.f_frsize - sum(promise.open for promise in list(self._promises))

    @contextmanager
    def waiting(self, size: int) -> Iterator[Promise]:
        """Count a file that waits for its turn when somebody asks how much room is missing: it will be, too."""
        wish = Promise(size)
        with self._lock:
            self._waiting.append(wish)
        try:
            yield wish
        finally:
            with self._lock:
                self._waiting.remove(wish)

    def short(self, size: int, free: int, wish: Promise | None = None) -> NoSpaceError | None:
        """What is wrong if so many bytes do not fit: what is missing for them and for all that wait.

        Args:
            size: The bytes.
            free: What `free` says.
            wish: Who asks, if that waits too.
        """
        if not size or not lacking(free, 0, size):
            return None
        others = sum(one.open for one in list(self._waiting) if one is not wish)
        also = f", and {_mb(others)} for files that wait" if others else ""
        return NoSpaceError(
            f"{_mb(size)} are needed{also}, {_mb(max(0, free))} are free; "
            f"enlarge the claim by {_mb(lacking(free, others, size))} or remove models from it",
            needed=size,
        )

    @contextmanager
    def promise(self, size: int) -> Iterator[Promise]:
        """Hold room for so many bytes.

        Raises:
            NoSpaceError: There is not so much, with what other downloads will need.
        """
        promise = Promise(size)
        with self._lock:
            error = self.short(size, self.free())
            if error:
                raise error
            self._promises.append(promise)
        try:
            yield promise
        finally:
            with self._lock:
                self._promises.remove(promise)


def _mb(size: int) -> str:
    return f"{-(-size // _MEGABYTE):,} MB"
