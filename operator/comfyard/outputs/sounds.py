"""FLAC, MP3 and Ogg (Opus, Vorbis) without their tags: frames and packets stay as they are, byte by byte."""

import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from comfyard.outputs.reading import PIECE, copy_exactly, read_exactly

_FLAC = b"fLaC"
_FLAC_KEPT = frozenset({0, 3, 5})
"""STREAMINFO, SEEKTABLE, CUESHEET; the others are tags, pictures, padding and what applications add (RFC 9639)."""
_FLAC_LAST = 0x80

_ID3_HEADER = 10
_ID3_FOOTER = 0x10
_ID3_OLD = 128
"""Bytes of an ID3v1 tag, which is at the end."""
_APE = struct.Struct("<8sIIII8s")
_APE_HAS_HEADER = 1 << 31
_MPEG_SYNC = 0xFFE0

_PAGE = struct.Struct("<4sBBqIIIB")
_PAGE_CRC = slice(22, 26)
_FULL_SEGMENT = 255
_OPUS, _VORBIS = b"OpusTags", b"\x03vorbis"


def strip_flac(source: BinaryIO, target: BinaryIO) -> None:
    """Without comments, pictures and an ID3 tag before it. Raises ValueError when it is no FLAC."""
    _skip_id3(source)
    if source.read(len(_FLAC)) != _FLAC:
        raise ValueError("it is no FLAC")
    kept: list[tuple[int, bytes]] = []
    kind = 0
    while not kind & _FLAC_LAST:
        kind, *length = read_exactly(source, 4)
        content = read_exactly(source, int.from_bytes(length))
        if kind & ~_FLAC_LAST in _FLAC_KEPT:
            kept.append((kind & ~_FLAC_LAST, content))
    if not kept:
        raise ValueError("it has no STREAMINFO")
    target.write(_FLAC)
    for number, (kind, content) in enumerate(kept, start=1):
        last = _FLAC_LAST if number == len(kept) else 0
        target.write(bytes([kind | last]) + len(content).to_bytes(3) + content)
    shutil.copyfileobj(source, target, PIECE)


def strip_mp3(source: BinaryIO, target: BinaryIO) -> None:
    """Without ID3 tags of both versions, and APE tags. Raises ValueError when it is no MP3."""
    _skip_id3(source)
    begin = source.tell()
    if int.from_bytes(read_exactly(source, 2)) & _MPEG_SYNC != _MPEG_SYNC:
        raise ValueError("it is no MP3")
    end = _without_ape(source, _without_old_id3(source, source.seek(0, 2)))
    source.seek(begin)
    copy_exactly(source, target, max(0, end - begin))


def _skip_id3(source: BinaryIO) -> None:
    """Go behind the ID3v2 tags that the file begins with; there may be several."""
    while True:
        at = source.tell()
        header = source.read(_ID3_HEADER)
        if len(header) < _ID3_HEADER or header[:3] != b"ID3":
            source.seek(at)
            return
        size = 0
        for seven_bits in header[6:]:
            size = size << 7 | seven_bits & 0x7F
        source.seek(at + _ID3_HEADER + size + (_ID3_HEADER if header[5] & _ID3_FOOTER else 0))


def _without_old_id3(source: BinaryIO, end: int) -> int:
    if end < _ID3_OLD:
        return end
    source.seek(end - _ID3_OLD)
    return end - _ID3_OLD if source.read(3) == b"TAG" else end


def _without_ape(source: BinaryIO, end: int) -> int:
    if end < _APE.size:
        return end
    source.seek(end - _APE.size)
    size: int
    flags: int
    magic, _, size, _, flags, _ = _APE.unpack(read_exactly(source, _APE.size))
    if magic != b"APETAGEX":
        return end
    return max(0, end - size - (_APE.size if flags & _APE_HAS_HEADER else 0))


@dataclass(frozen=True)
class _Page:
    """A page of an Ogg file (RFC 3533): where its payload begins, and the lengths of its segments."""

    start: int
    payload: int
    segments: bytes


def strip_ogg(source: BinaryIO, target: BinaryIO) -> None:
    """Opus or Vorbis with empty comments, which stay as long as they were: no page moves. Raises ValueError."""
    shutil.copyfileobj(source, target, PIECE)
    target.seek(0)
    pages = _pages(target)
    next(pages)  # what kind of sound it is, in a page of its own
    pieces: list[tuple[_Page, int]] = []
    for page in pages:
        first = next((n for n, length in enumerate(page.segments, start=1) if length < _FULL_SEGMENT), None)
        pieces.append((page, sum(page.segments[:first])))
        if first is not None:
            break
    else:
        raise ValueError("it has no comments")
    content = bytearray()
    for page, length in pieces:
        target.seek(page.payload)
        content += read_exactly(target, length)
    _write(target, pieces, _emptied(bytes(content)))


def _pages(file: BinaryIO) -> Iterator[_Page]:
    at = 0
    while True:
        file.seek(at)
        header = _PAGE.unpack(read_exactly(file, _PAGE.size))
        if header[0] != b"OggS":
            raise ValueError("it is no Ogg")
        segments = read_exactly(file, header[-1])
        page = _Page(at, at + _PAGE.size + len(segments), segments)
        yield page
        at = page.payload + sum(segments)


def _emptied(comments: bytes) -> bytes:
    """The packet without a comment. What follows the list is padding to both formats, but for Vorbis' last bit."""
    magic = next((magic for magic in (_OPUS, _VORBIS) if comments.startswith(magic)), None)
    if magic is None:
        raise ValueError("it is neither Opus nor Vorbis")
    vendor = struct.unpack_from("<I", comments, len(magic))[0]
    kept = comments[: len(magic) + 4 + vendor] + bytes(4) + (b"\x01" if magic == _VORBIS else b"")
    if len(kept) > len(comments):
        raise ValueError("its comments end too early")
    return kept.ljust(len(comments), b"\0")


def _write(file: BinaryIO, pieces: list[tuple[_Page, int]], packet: bytes) -> None:
    for page, length in pieces:
        file.seek(page.payload)
        file.write(packet[:length])
        packet = packet[length:]
        file.seek(page.start)
        whole = bytearray(read_exactly(file, page.payload - page.start + sum(page.segments)))
        whole[_PAGE_CRC] = bytes(4)
        whole[_PAGE_CRC] = _crc(whole).to_bytes(4, "little")
        file.seek(page.start)
        file.write(whole)


def _crc(content: bytes | bytearray) -> int:
    """Ogg's own: CRC-32 with the bits the other way round than zlib's."""
    value = 0
    for byte in content:
        value = value << 8 & 0xFFFFFFFF ^ _CRC_TABLE[value >> 24 ^ byte]
    return value


def _crc_of(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = value << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if value & 0x80000000 else 0)
    return value


_CRC_TABLE = tuple(_crc_of(byte) for byte in range(256))
