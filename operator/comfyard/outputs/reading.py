"""Reading parts of files whose format says how long they are."""

from io import BufferedRandom, BufferedReader
from typing import BinaryIO, TypeAlias

Content: TypeAlias = BufferedReader | BufferedRandom
"""An open file of bytes."""

PIECE = 1024 * 1024
"""Bytes that are held in memory at a time."""

_TOO_EARLY = "it ends too early"


def read_exactly(source: BinaryIO, count: int) -> bytes:
    """So many bytes. Raises ValueError when there are fewer."""
    content = source.read(count)
    if len(content) < count:
        raise ValueError(_TOO_EARLY)
    return content


def copy_exactly(source: BinaryIO, target: BinaryIO, count: int) -> None:
    """Copy so many bytes. Raises ValueError when there are fewer."""
    while count:
        piece = source.read(min(count, PIECE))
        if not piece:
            raise ValueError(_TOO_EARLY)
        target.write(piece)
        count -= len(piece)
