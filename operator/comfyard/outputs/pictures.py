"""Pictures and sounds without what is written into them: copied piece by piece, so that no pixel and no sample changes.

Of each format those pieces are kept that a viewer needs, and all others go: ComfyUI's nodes put the graph into places
of their own (a `comf` chunk in animated PNGs, fields of EXIF in WebP).
"""

import struct
from typing import BinaryIO

from comfyard.outputs.reading import copy_exactly, read_exactly

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD hIST pHYs sPLT acTL fcTL fdAT".split()
)
_RIFF_KEPT = {
    b"WEBP": frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"ICCP"}),
    b"WAVE": frozenset({b"fmt ", b"fact", b"data"}),
}
_RIFF_UNCOUNTED = 8
"""Bytes at the beginning that a file's length does not count."""
_VP8X_EXIF_AND_XMP = 0x08 | 0x04
_GIF_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")

_JPEG_BEGIN, _JPEG_END, _JPEG_SCAN = 0xD8, 0xD9, 0xDA
_JPEG_APP = range(0xE0, 0xF0)
_JPEG_COMMENT = 0xFE
_JPEG_IN_SCAN = frozenset({0x00, 0xFF, *range(0xD0, 0xD8)})
"""What may follow 0xFF inside of a scan: a stuffed byte, a filler, restarts."""


def strip_png(source: BinaryIO, target: BinaryIO) -> None:
    """Without text, EXIF, times and everything that is not PNG's own. Raises ValueError when it is no PNG."""
    if source.read(len(_PNG_SIGNATURE)) != _PNG_SIGNATURE:
        raise ValueError("it is no PNG")
    target.write(_PNG_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        header = read_exactly(source, 8)
        length, kind = struct.unpack(">I4s", header)
        if kind in _PNG_KEPT:
            target.write(header)
            copy_exactly(source, target, length + 4)
        else:
            source.seek(length + 4, 1)


def strip_riff(source: BinaryIO, target: BinaryIO) -> None:
    """A WebP without EXIF and XMP, a WAV without notes. Raises ValueError when it is neither."""
    riff, size, form = struct.unpack("<4sI4s", read_exactly(source, 12))
    kept = _RIFF_KEPT.get(form)
    if riff != b"RIFF" or kept is None:
        raise ValueError("it is neither WebP nor WAV")
    target.write(struct.pack("<4sI4s", riff, 0, form))
    while source.tell() < size + _RIFF_UNCOUNTED:
        header = read_exactly(source, 8)
        kind, length = struct.unpack("<4sI", header)
        padded = length + length % 2
        if kind not in kept:
            source.seek(padded, 1)
            continue
        target.write(header)
        if kind == b"VP8X":
            target.write(bytes([read_exactly(source, 1)[0] & ~_VP8X_EXIF_AND_XMP]))
            padded -= 1
        copy_exactly(source, target, padded)
    size = target.tell() - _RIFF_UNCOUNTED
    target.seek(4)
    target.write(struct.pack("<I", size))


def strip_jpeg(source: BinaryIO, target: BinaryIO) -> None:
    """Without EXIF, XMP and comments; the colour profile stays. Raises ValueError when it is no JPEG."""
    data = source.read()
    if data[:2] != bytes([0xFF, _JPEG_BEGIN]):
        raise ValueError("it is no JPEG")
    target.write(data[:2])
    at = 2
    while True:
        marker, at = _jpeg_marker(data, at)
        if marker == _JPEG_END:
            target.write(bytes([0xFF, _JPEG_END]))
            return
        (length,) = struct.unpack_from(">H", data, at)
        end = at + length
        segment = data[at:end]
        if marker == _JPEG_SCAN:
            end = _jpeg_scan_end(data, end)
        if _jpeg_keeps(marker, segment[2:]):
            target.write(bytes([0xFF, marker]) + data[at:end])
        at = end


def _jpeg_marker(data: bytes, at: int) -> tuple[int, int]:
    """The marker at that place, and the place after it; fillers may stand before it."""
    if at + 1 >= len(data) or data[at] != 0xFF:  # noqa: PLR2004 - every marker begins so
        raise ValueError("it ends too early")
    while data[at] == 0xFF:  # noqa: PLR2004
        at += 1
    return data[at], at + 1


def _jpeg_scan_end(data: bytes, at: int) -> int:
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise ValueError("it ends too early")
        if data[at + 1] not in _JPEG_IN_SCAN:
            return at
        at += 2 if data[at + 1] != 0xFF else 1  # noqa: PLR2004


def _jpeg_keeps(marker: int, content: bytes) -> bool:
    match marker:
        case 0xE0:
            return True  # JFIF: the density of pixels
        case 0xE2:
            return content.startswith(b"ICC_PROFILE\0")
        case 0xEE:
            return content.startswith(b"Adobe")  # how colours are coded
        case _:
            return marker not in _JPEG_APP and marker != _JPEG_COMMENT


def strip_gif(source: BinaryIO, target: BinaryIO) -> None:
    """Without comments and XMP; loops stay. Raises ValueError when it is no GIF."""
    data = source.read()
    if data[:6] not in {b"GIF87a", b"GIF89a"}:
        raise ValueError("it is no GIF")
    at = 13 + _gif_colours(data[10])
    target.write(data[:at])
    while data[at] != ord(";"):
        start = at
        if data[at] == ord(","):
            at = _gif_blocks_end(data, at + 11 + _gif_colours(data[at + 9]))
            target.write(data[start:at])
        elif data[at] == ord("!"):
            at = _gif_blocks_end(data, at + 2)
            if _gif_keeps(data[start + 1], data[start + 3 : start + 14]):
                target.write(data[start:at])
        else:
            raise ValueError(f"block {data[at]:#04x} is none of GIF's")
    target.write(b";")


def _gif_colours(flags: int) -> int:
    """Bytes of the colour table that such flags announce."""
    return 3 * 2 ** ((flags & 0x07) + 1) if flags & 0x80 else 0


def _gif_blocks_end(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


def _gif_keeps(label: int, name: bytes) -> bool:
    """Timing, text that is drawn, and how often it is played."""
    return label in {0xF9, 0x01} or (label == 0xFF and name in _GIF_LOOPS)  # noqa: PLR2004 - of applications
