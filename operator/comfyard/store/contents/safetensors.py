"""What the header of a safetensors file says, and whether the file is built so: milliseconds, no tensor is read.

The check finds web pages saved as models, truncated files and broken headers. It cannot see wrong bytes inside
tensors; only a digest does.
"""

import json
import math
import re
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from comfyard.store.errors import NotASafetensorsError

SUFFIXES = (".safetensors", ".sft")

_LENGTH_BYTES = 8
_LARGEST_HEADER = 25_000_000
"""As huggingface_hub's reader; the format allows 100 MB, which nobody has, and parsing it would cost a gigabyte."""

_MOST_DIMENSIONS = 64
_LARGEST_NUMBER = 2**63
"""What torch can have; without bounds a few megabytes of numbers would take hours to multiply."""

_DTYPE = re.compile(r"[A-Z][A-Z0-9_]{0,15}")
_BITS = {
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


class Tensor(NamedTuple):
    """One tensor of a file.

    Attributes:
        dtype: Its type, as safetensors names it: F16, BF16, F8_E4M3.
        first: Its first byte, behind the header.
        end: The byte after its last one.
    """

    dtype: str
    shape: tuple[int, ...]
    first: int
    end: int


def is_safetensors(path: str) -> bool:
    """Whether the name promises safetensors."""
    return path.lower().endswith(SUFFIXES)


def read_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Raises:
        NotASafetensorsError: With what is wrong.
        OSError: It could not be read.
    """
    with path.open("rb") as file:
        return read(file, path.stat().st_size)


def read(file: BinaryIO, size: int) -> dict[str, Tensor]:
    """The tensors that the start of a file of that size tells of, by name. Raises NotASafetensorsError."""
    start = file.read(_LENGTH_BYTES)
    length = int.from_bytes(start, "little")
    if len(start) < _LENGTH_BYTES or length > min(size - _LENGTH_BYTES, _LARGEST_HEADER):
        raise _wrong(f"{_looks_like(start + file.read(64))}, not a model")
    header = file.read(length)
    if not header.startswith(b"{"):
        raise _wrong("the header is not JSON")
    try:
        entries: dict[str, Any] = json.loads(header.decode(), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"the header is broken: {str(error)[:100]}") from error
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _wrong("its metadata is not made of texts")
    tensors = {name: _tensor(name, entry) for name, entry in entries.items()}
    end = 0
    for first, last in sorted((tensor.first, tensor.end) for tensor in tensors.values()):
        if first != end:
            raise _wrong(f"bytes {min(first, end)} to {max(first, end)} belong to no tensor, or to two")
        end = last
    if end != size - _LENGTH_BYTES - length:
        raise _wrong(f"its tensors have {end} bytes, the file has {size - _LENGTH_BYTES - length} for them")
    return tensors


def _tensor(name: str, entry: object) -> Tensor:
    """What the header says of a tensor; its bytes are checked against shape and type."""
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [first, last]}:
            whole = all(type(n) is int and 0 <= n <= _LARGEST_NUMBER for n in (*shape, first, last))
            if whole and len(shape) <= _MOST_DIMENSIONS and first <= last and _DTYPE.fullmatch(dtype):
                bits = _BITS.get(dtype)  # a type newer than this list is no reason to refuse a model
                if bits is None or 8 * (last - first) == bits * math.prod(shape):
                    return Tensor(dtype, tuple(shape), first, last)
    raise _wrong(f"tensor {name[:80]!r} has a type, shape and offsets that do not fit")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _looks_like(start: bytes) -> str:
    text = start.lstrip()[:15].lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "it is a web page"
    if text.startswith(b"version https:"):
        return "it is a pointer of git-lfs"
    if not start.strip(b"\0"):
        return "it is empty or zeros"
    return "it is something else or cut off"


def _wrong(what: str) -> NotASafetensorsError:
    return NotASafetensorsError(f"not a safetensors file: {what}; check the source")
