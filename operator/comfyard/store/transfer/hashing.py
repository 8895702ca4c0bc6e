"""SHA-256 and BLAKE3 of a file in one pass, while it grows or as it lies there.

SHA-256 is what sources publish and bundles pin; BLAKE3 is what the file is read again by, eight times as fast.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from blake3 import blake3

from comfyard.store.files import read_through

_PIECE = 1024 * 1024
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Digests:
    """Both digests of one content, as hexadecimal digits."""

    sha256: str
    blake3: str


class _Hashers:
    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._blake3 = blake3()

    def update(self, content: memoryview) -> None:
        self._sha256.update(content)
        self._blake3.update(content)

    def digests(self) -> Digests:
        return Digests(self._sha256.hexdigest(), self._blake3.hexdigest())


class TrailingHash:
    """Hashes a growing file in a thread of its own, right behind its front, through the page cache.

    So a download costs no second pass, a resumed one continues while what there was is still being read, and it does
    not matter that parts arrive out of order. Used as a context manager: the thread ends with the block.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hashers = _Hashers()
        self._position = 0
        self._available = 0
        self._finished = False
        self._stopped = False
        self._error: OSError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def advance(self, available: int) -> None:
        """So many bytes from the start of the file can be read now."""
        with self._changed:
            self._available = available
            self._changed.notify()

    def finish(self, report: Callable[[int], None]) -> Digests:
        """Wait until all bytes are hashed.

        Args:
            report: Called now and then with the bytes hashed so far; may raise to give up.

        Raises:
            OSError: The file could not be read.
        """
        with self._changed:
            self._finished = True
            self._changed.notify()
        while self._thread.is_alive():
            self._thread.join(_LOOK_SECONDS)
            report(self._position)
        if self._error:
            raise self._error
        if self._position != self._available:
            raise OSError(f"{self._path.name} is shorter than what was written to it")
        return self._hashers.digests()

    def _run(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                buffer = memoryview(bytearray(_PIECE))
                while self._wait():
                    count = file.readinto(buffer[: min(_PIECE, self._available - self._position)])
                    if not count:
                        return
                    self._hashers.update(buffer[:count])
                    self._position += count
        except OSError as error:
            self._error = error

    def _wait(self) -> bool:
        """Whether there is something to hash; waits for it unless the end is known."""
        with self._changed:
            while not self._stopped:
                if self._position < self._available:
                    return True
                if self._finished:
                    return False
                self._changed.wait()
        return False


def hash_file(path: Path, report: Callable[[int], None]) -> Digests:
    """Both digests of a file as it is.

    Args:
        path: The file.
        report: Called with the bytes hashed so far after each MiB; may raise to give up.

    Raises:
        OSError: It could not be read.
    """
    hashers = _Hashers()
    read_through(path, hashers.update, report)
    return hashers.digests()
