"""Reading a file again by its cheaper digest, and copying it where no link can be made."""

import os
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from comfyard.store.files import read_through


def blake3_file(file: Path, report: Callable[[int], None]) -> str:
    """BLAKE3 of a file as it is.

    Args:
        file: The file.
        report: Called with the bytes read so far after each MiB; may raise to give up.

    Raises:
        OSError: It could not be read.
    """
    digest = blake3()
    read_through(file, digest.update, report)
    return digest.hexdigest()


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
    digest = blake3()
    with copy.open("xb") as target:

        def take(piece: memoryview) -> None:
            digest.update(piece)
            target.write(piece)

        read_through(file, take, report)
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()
