"""Files with a JSON header that ComfyUI writes the graph into: safetensors (also latents) and binary glTF."""

import json
import shutil
import struct
from typing import Any, BinaryIO

from comfyard.outputs.reading import PIECE, read_exactly

_GRAPH = ("prompt", "workflow")
"""Keys of ComfyUI; others say what the file is and stay."""
_LARGEST_HEADER = 100 * 1024 * 1024
_ALIGNMENT = {"safetensors": 8, "glTF": 4}
_GLTF, _GLTF_VERSION, _GLTF_JSON = b"glTF", 2, b"JSON"


def strip_safetensors(source: BinaryIO, target: BinaryIO) -> None:
    """Without the graph in `__metadata__`; the tensors' offsets count from the header's end. Raises ValueError."""
    header = _json(source, struct.unpack("<Q", read_exactly(source, 8))[0])
    about = header.get("__metadata__")
    if isinstance(about, dict):
        _forget(about)
        if not about:
            del header["__metadata__"]
    content = _padded(header, _ALIGNMENT["safetensors"])
    target.write(struct.pack("<Q", len(content)) + content)
    shutil.copyfileobj(source, target, PIECE)


def strip_gltf(source: BinaryIO, target: BinaryIO) -> None:
    """Without the graph in the extras of the asset and of the scenes; the mesh stays as it is. Raises ValueError."""
    magic, version, size, length, kind = struct.unpack("<4sIII4s", read_exactly(source, 20))
    if (magic, version, kind) != (_GLTF, _GLTF_VERSION, _GLTF_JSON):
        raise ValueError("it is no binary glTF 2.0")
    about = _json(source, length)
    for part in (about, about.get("asset"), *about.get("scenes", [])):
        if isinstance(part, dict) and isinstance(part.get("extras"), dict):
            _forget(part["extras"])
            if not part["extras"]:
                del part["extras"]
    content = _padded(about, _ALIGNMENT["glTF"])
    target.write(struct.pack("<4sIII4s", magic, version, size - length + len(content), len(content), kind) + content)
    shutil.copyfileobj(source, target, PIECE)


def _forget(about: dict[str, Any]) -> None:
    for key in _GRAPH:
        about.pop(key, None)


def _json(source: BinaryIO, length: int) -> dict[str, Any]:
    if length > _LARGEST_HEADER:
        raise ValueError("its header is too long")
    header = json.loads(read_exactly(source, length))
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")  # noqa: TRY004 - of the file, not of a caller
    return header


def _padded(header: dict[str, Any], alignment: int) -> bytes:
    content = json.dumps(header, separators=(",", ":")).encode()
    return content + b" " * (-len(content) % alignment)
