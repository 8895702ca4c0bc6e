"""Files without what ComfyUI embeds: the whole graph, prompt included. Pixels and samples stay as they are."""

import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import BinaryIO

from comfyard.outputs.boxes import blank
from comfyard.outputs.headers import strip_gltf, strip_safetensors
from comfyard.outputs.pictures import strip_gif, strip_jpeg, strip_png, strip_riff
from comfyard.outputs.reading import PIECE
from comfyard.outputs.sounds import strip_flac, strip_mp3, strip_ogg

Strip = Callable[[BinaryIO, BinaryIO], None]

_BROKEN = (ValueError, IndexError, LookupError, OverflowError, struct.error)


class CannotStripError(Exception):
    """What is embedded in a file cannot be taken out. The message has the cause and the fix."""


def strip(source: BinaryIO, filename: str, target: BinaryIO) -> None:
    """Copy a file without what is embedded in it.

    Args:
        source: The file; it is read from its beginning.
        filename: Its name, for the format.
        target: An empty file, open for reading and writing. It is left at its beginning.

    Raises:
        CannotStripError: The format is none of those that are known here, or the file is not of its format.
    """
    suffix = PurePosixPath(filename).suffix.lower()
    take_out = _BY_SUFFIX.get(suffix)
    if take_out is None:
        raise CannotStripError(
            f"nobody here can take the graph out of {suffix or 'such'} files; order with output.metadata: Embed, or "
            f"let the template save another format ({', '.join(sorted(s[1:] for s in _BY_SUFFIX))})"
        )
    source.seek(0)
    try:
        take_out(source, target)
    except _BROKEN as error:
        raise CannotStripError(
            f"the graph cannot be taken out, as this is no sound {suffix} file: {error}; order with output.metadata: "
            "Embed, or see why the node saves it so"
        ) from error
    target.seek(0)


def _film(source: BinaryIO, target: BinaryIO) -> None:
    shutil.copyfileobj(source, target, PIECE)
    blank(target)


def _nothing_embedded(source: BinaryIO, target: BinaryIO) -> None:
    shutil.copyfileobj(source, target, PIECE)


_BY_SUFFIX: Mapping[str, Strip] = MappingProxyType(
    {
        ".flac": strip_flac,
        ".gif": strip_gif,
        ".glb": strip_gltf,
        ".jpeg": strip_jpeg,
        ".jpg": strip_jpeg,
        ".json": _nothing_embedded,
        ".latent": strip_safetensors,
        ".m4a": _film,
        ".mov": _film,
        ".mp3": strip_mp3,
        ".mp4": _film,
        ".ogg": strip_ogg,
        ".opus": strip_ogg,
        ".png": strip_png,
        ".safetensors": strip_safetensors,
        ".txt": _nothing_embedded,
        ".wav": strip_riff,
        ".webp": strip_riff,
    }
)
