"""Room on the volume: promised to downloads before they begin, so that two do not count on the same bytes."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comfyard.store.errors import NoSpaceError

MARGIN = 32 * 1024 * 1024
"""Bytes that stay free: journals, records and directories need room too."""

_MEGABYTE = 1_000_000


def lacking(free: int, promised: int, needed: int, margin: int = MARGIN) -> int:
    """Bytes that are missing for something of that size; 0 when it fits."""
    return max(0, needed + promised + margin - free)


class Promise:
    """Room for one download; what was written of it is no longer counted twice."""

    def __init__(self, size: int) -> None:
        self.open = size

    def written(self, count: int) -> None:
        """So many bytes have become part of what is used."""
        self.open = max(0, self.open - count)


class Space:
    """The free bytes of one volume, less what is promised."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._promises: list[Promise] = []

    @contextmanager
    def promise(self, size: int) -> Iterator[Promise]:
        """Hold room for so many bytes.

        Raises:
            NoSpaceError: There is not so much, with what other downloads will need.
        """
        promise = Promise(size)
        with self._lock:
            found = os.statvfs(self._root)
            free = found.f_bavail * found.f_frsize
            promised = sum(p.open for p in self._promises)
            short = lacking(free, promised, size) if size else 0
            if short:
                raise NoSpaceError(
                    f"{_mb(size)} are needed, {_mb(max(0, free - promised))} are free; "
                    f"enlarge the claim by {_mb(short)} or remove models from it"
                )
            self._promises.append(promise)
        try:
            yield promise
        finally:
            with self._lock:
                self._promises.remove(promise)


def _mb(size: int) -> str:
    return f"{-(-size // _MEGABYTE):,} MB"
