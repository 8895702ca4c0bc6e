"""Reading a file again by its cheaper digest, and copying it where no link can be made."""

import os
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

_PIECE = 1024 * 1024


def blake3_file(file: Path, report: Callable[[int], None]) -> str:
    """BLAKE3 of a file as it is.

    Args:
        file: The file.
        report: Called with the bytes read so far after each MiB; may raise to give up.

    Raises:
        OSError: It could not be read.
    """
    return _read(file, lambda _: None, report)


def copy_file(file: Path, copy: Path, report: Callable[[int], None]) -> str:
    """Copy a file; the copy is durable when this returns, its name is not.

    Args:
        file: The file.
        copy: Where to; nothing must be there.
        report: Called with the bytes copied so far after each MiB; may raise to give up.

    Returns:
        BLAKE3 of what was copied.

    Raises:
        OSError: It could not be read or written.
    """
    with copy.open("xb") as target:
        digest = _read(file, target.write, report)
        target.flush()
        os.fsync(target.fileno())
    return digest


def _read(file: Path, take: Callable[[memoryview], object], report: Callable[[int], None]) -> str:
    digest = blake3()
    done = 0
    buffer = memoryview(bytearray(_PIECE))
    with file.open("rb", buffering=0) as opened:
        while count := opened.readinto(buffer):
            digest.update(buffer[:count])
            take(buffer[:count])
            done += count
            report(done)
    return digest.hexdigest()
