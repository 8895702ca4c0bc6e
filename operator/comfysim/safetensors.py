"""Reads as much of a .safetensors file as is needed to tell whether it is whole."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from comfysim.errors import SafetensorError

if TYPE_CHECKING:
    from pathlib import Path

MAX_HEADER = 100_000_000
LENGTH_BYTES = 8
PREFIX = "Error while deserializing header: "


def read_header(path: Path) -> dict[str, Any]:
    """Parses the header and compares the file's length with it.

    A truncated download is the common fault: the header is there and the tensors are not, which the real library
    reports as "incomplete metadata, file not fully covered".

    Args:
        path: The file.

    Returns:
        The header, tensor name to dtype, shape and offsets, with `__metadata__`.

    Raises:
        SafetensorError: With the real library's texts.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < LENGTH_BYTES:
            raise SafetensorError(f"{PREFIX}header too small")
        (length,) = struct.unpack("<Q", start)
        if length > MAX_HEADER:
            raise SafetensorError(f"{PREFIX}header too large")
        if 8 + length > size:
            raise SafetensorError(f"{PREFIX}invalid header length")
        raw = file.read(length)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise SafetensorError(f"{PREFIX}invalid UTF-8 in header: {error}") from error
    try:
        header: dict[str, Any] = json.loads(text)
        end = max((int(t["data_offsets"][1]) for name, t in header.items() if name != "__metadata__"), default=0)
    except (ValueError, AttributeError, LookupError, TypeError) as error:
        raise SafetensorError(f"{PREFIX}invalid JSON in header: {error}") from error
    if 8 + length + end != size:
        raise SafetensorError(f"{PREFIX}incomplete metadata, file not fully covered")
    return header
