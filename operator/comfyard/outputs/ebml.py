"""WebM and Matroska files, which are elements of elements (RFC 8794, RFC 9559): the size of a film."""

from typing import BinaryIO

from comfyard.outputs.reading import read_exactly

_SEGMENT, _TRACKS, _TRACK, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_OF_ELEMENTS = frozenset({_SEGMENT, _TRACKS, _TRACK, _VIDEO})
_CLUSTER = 0x1F43B675
_WIDTH, _HEIGHT = 0xB0, 0xBA
_LONGEST = 8


def matroska_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height in pixels of the first track that has any, told before the first pictures come.

    Raises ValueError when it is no such file.
    """
    end = file.seek(0, 2)
    file.seek(0)
    width = 0
    while file.tell() < end:
        kind, size = _number(file, keep_marker=True), _number(file, keep_marker=False)
        if kind == _CLUSTER:
            break
        if kind in _OF_ELEMENTS:
            continue  # what is in it comes next
        if kind in {_WIDTH, _HEIGHT} and size > _LONGEST:
            raise ValueError("a number is too long")
        if kind == _WIDTH:
            width = int.from_bytes(read_exactly(file, size))
        elif kind == _HEIGHT and width:
            return width, int.from_bytes(read_exactly(file, size))
        else:
            file.seek(size, 1)
    return None


def _number(file: BinaryIO, *, keep_marker: bool) -> int:
    """A number of 1 to 8 bytes; the zeros before the first one tell how many. Ids keep that one, sizes do not."""
    first = read_exactly(file, 1)[0]
    length = _LONGEST + 1 - first.bit_length()
    if length > _LONGEST:
        raise ValueError("it is no Matroska file")
    value = first if keep_marker else first & ((1 << (_LONGEST - length)) - 1)
    return int.from_bytes(bytes([value]) + read_exactly(file, length - 1))
