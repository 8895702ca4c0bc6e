"""MP4 and QuickTime files, which are boxes of boxes (ISO/IEC 14496-12): what is said about a film, and its size."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from comfyard.outputs.reading import PIECE, read_exactly

_HEADER = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")
_SAYS = frozenset({b"udta", b"meta", b"uuid"})
"""Boxes that say something about the film: tags of all kinds, and XMP. None of them is needed to play it."""
_OF_BOXES = frozenset({b"moov", b"trak"})
_WHOLE_PIXEL = 16
"""Widths and heights are in 1/65536 pixels."""


@dataclass(frozen=True)
class Box:
    """One box.

    Attributes:
        kind: Its four letters.
        start: Where its header begins.
        content: Where its content begins.
        end: Where the next box begins.
    """

    kind: bytes
    start: int
    content: int
    end: int


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """The boxes between two places, without those inside of them. Raises ValueError when they do not fit."""
    while start < end:
        file.seek(start)
        size, kind = _HEADER.unpack(read_exactly(file, _HEADER.size))
        content = start + _HEADER.size
        if size == 1:
            size = _LARGE.unpack(read_exactly(file, _LARGE.size))[0]
            content += _LARGE.size
        box = Box(kind, start, content, start + size if size else end)
        if not content <= box.end <= end:
            raise ValueError(f"a box of {size} bytes does not fit")
        yield box
        start = box.end


def blank(file: BinaryIO) -> None:
    """Overwrite what a film says about itself, in its place: nothing moves, so that all offsets stay right.

    Raises ValueError when it is no such file.
    """
    kinds = set()
    for box in _walk(file):
        kinds.add(box.kind)
        if box.kind in _SAYS:
            file.seek(box.start + 4)
            file.write(b"free")
            file.seek(box.content)
            file.writelines(bytes(min(PIECE, box.end - at)) for at in range(box.content, box.end, PIECE))
    if not kinds >= {b"ftyp", b"moov"}:
        raise ValueError("it has no film in it")


def video_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height in pixels of the first track that has any. Raises ValueError when it is no such file."""
    for box in _walk(file):
        if box.kind == b"tkhd":
            file.seek(box.end - 8)
            width, height = (value >> _WHOLE_PIXEL for value in struct.unpack(">II", read_exactly(file, 8)))
            if width and height:
                return width, height
    return None


def _walk(file: BinaryIO) -> Iterator[Box]:
    todo = [(0, file.seek(0, 2))]
    while todo:
        for box in boxes(file, *todo.pop(0)):
            yield box
            if box.kind in _OF_BOXES:
                todo.append((box.content, box.end))
