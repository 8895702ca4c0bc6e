"""What is recorded of a stored file."""

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from PIL import Image, UnidentifiedImageError

from comfyard.outputs.boxes import video_size
from comfyard.outputs.ebml import matroska_size
from comfyard.outputs.reading import Content

Image.MAX_IMAGE_PIXELS = None  # no picture is decoded here, however large it is

_CONTENT_TYPES = {
    ".3mf": "model/3mf",
    ".aac": "audio/aac",
    ".avi": "video/vnd.avi",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".flac": "audio/flac",
    ".gif": "image/gif",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".m4a": "audio/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".obj": "model/obj",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".png": "image/png",
    ".stl": "model/stl",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".txt": "text/plain",
    ".usdz": "model/vnd.usdz+zip",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
"""By extension. Not the machine's table, which differs from image to image, and nothing that a browser would run."""
_UNKNOWN = "application/octet-stream"
_FILMS = {
    "video/mp4": video_size,
    "video/quicktime": video_size,
    "video/webm": matroska_size,
    "video/x-matroska": matroska_size,
}


@dataclass(frozen=True)
class Description:
    """One file.

    Attributes:
        sha256: 64 lower-case hexadecimal digits.
        bytes: Its size.
        content_type: By the name's extension.
        width: Pixels; None for what is neither a picture nor a film whose header is understood.
        height: Likewise.
    """

    sha256: str
    bytes: int
    content_type: str
    width: int | None = None
    height: int | None = None


def describe(file: Content, filename: str) -> Description:
    """Hash a file and look at its header. Leaves it at its beginning."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = file.tell()
    content_type = _CONTENT_TYPES.get(PurePosixPath(filename).suffix.lower(), _UNKNOWN)
    width, height = _pixels(file, content_type) or (None, None)
    file.seek(0)
    return Description(digest, size, content_type, width, height)


def _pixels(file: Content, content_type: str) -> tuple[int, int] | None:
    """Width and height from the header; nothing is decoded, whatever size it claims."""
    file.seek(0)
    try:
        size_of = _FILMS.get(content_type)
        if size_of:
            return size_of(file)
        if content_type.startswith("image/"):
            with Image.open(file) as image:
                return image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        pass
    return None
