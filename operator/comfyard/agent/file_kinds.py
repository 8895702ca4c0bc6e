"""What a file is, told by its beginning: pictures, films and sounds that ComfyUI's loaders can read. Pure."""

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from comfyard.api.workflow_template import FileType
from comfyard.outputs.reading import Content

_PICTURES = {
    "AVIF": ".avif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "JPEG": ".jpg",
    "PNG": ".png",
    "TIFF": ".tiff",
    "WEBP": ".webp",
}
"""Pillow's formats and their suffixes; it knows others that run a program of their own when they are opened."""


class _Mark(NamedTuple):
    """Bytes at a place, and the suffix of files that have them there."""

    at: int
    content: bytes
    suffix: str


_FILMS = (
    _Mark(4, b"ftyp", ".mp4"),
    _Mark(0, b"\x1a\x45\xdf\xa3", ".webm"),
    _Mark(8, b"AVI ", ".avi"),
    _Mark(0, b"OggS", ".ogv"),
    _Mark(0, b"FLV\x01", ".flv"),
    _Mark(0, b"\x00\x00\x01\xba", ".mpg"),
    _Mark(0, b"GIF8", ".gif"),
)
_SOUNDS = (
    _Mark(8, b"WAVE", ".wav"),
    _Mark(0, b"fLaC", ".flac"),
    _Mark(0, b"OggS", ".ogg"),
    _Mark(0, b"ID3", ".mp3"),
    *(_Mark(0, bytes([0xFF, second]), ".mp3") for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2)),
    *(_Mark(0, bytes([0xFF, second]), ".aac") for second in (0xF1, 0xF9)),
    _Mark(4, b"ftyp", ".m4a"),
    _Mark(0, b"\x1a\x45\xdf\xa3", ".webm"),
    _Mark(8, b"AIFF", ".aiff"),
)
_STILL_BRANDS = frozenset({b"avif", b"heic", b"heix", b"mif1"})
"""Pictures in the box format of films."""
_BEGINNING = 32
_SHOWN = 8
_SUFFIX = re.compile(r"\.[a-z0-9]{1,10}")


def suffix_of(content: Content, filename: str, kind: FileType) -> str:
    """Check that a file is what a parameter takes, and find a suffix for it: that of its name, else of its content.

    Raises:
        ValueError: It is something else; the message says what is wrong and what to do.
    """
    own = _picture(content) if kind in {"Image", "Mask"} else _marked(content, kind)
    named = PurePosixPath(filename).suffix.lower()
    return named if _SUFFIX.fullmatch(named) else own


def _picture(content: Content) -> str:
    """The picture is not decoded: a small file may claim to be a huge one."""
    content.seek(0)
    try:
        with Image.open(content, formats=list(_PICTURES)) as image:
            form = image.format or ""
            image.verify()
    except UnidentifiedImageError:
        raise ValueError(
            f"it is no picture{_beginning(content)}; give a PNG, JPEG, WebP, GIF, AVIF, TIFF or BMP"
        ) from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ValueError(f"it is a broken picture: {error}; give a sound one") from error
    return _PICTURES.get(form, ".jpg")  # several JPEGs in one file have a format of their own


def _marked(content: Content, kind: FileType) -> str:
    content.seek(0)
    head = content.read(_BEGINNING)
    still = head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS
    for mark in () if still else _FILMS if kind == "Video" else _SOUNDS:
        if head[mark.at :].startswith(mark.content):
            return mark.suffix
    if kind == "Video":
        raise ValueError(f"it is no film{_beginning(content)}; give an MP4, WebM, MKV, MOV, AVI or GIF")
    raise ValueError(f"it is no sound{_beginning(content)}; give a WAV, FLAC, MP3, OGG, Opus or M4A")


def _beginning(content: Content) -> str:
    content.seek(0)
    head = content.read(_SHOWN)
    return f", as it begins with {head!r}" if head else ", as it is empty"
