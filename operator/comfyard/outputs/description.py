"""What is recorded of a stored file."""

import hashlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import PurePosixPath

from PIL import Image, UnidentifiedImageError

Image.MAX_IMAGE_PIXELS = None  # no picture is decoded here, however large it is

_CONTENT_TYPES = {
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".gif": "image/gif",
    ".glb": "model/gltf-binary",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".m4a": "audio/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".png": "image/png",
    ".txt": "text/plain",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
"""By extension. Not the machine's table, which differs from image to image, and nothing that a browser would run."""
_UNKNOWN = "application/octet-stream"


@dataclass(frozen=True)
class Description:
    """One file.

    Attributes:
        sha256: 64 lower-case hexadecimal digits.
        bytes: Its size.
        content_type: By the name's extension.
        width: Pixels; None for what is not an image.
        height: Likewise.
    """

    sha256: str
    bytes: int
    content_type: str
    width: int | None = None
    height: int | None = None


def describe(file: BufferedReader, filename: str) -> Description:
    """Hash a file and look at its header. Leaves it at its beginning."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = file.tell()
    content_type = _CONTENT_TYPES.get(PurePosixPath(filename).suffix.lower(), _UNKNOWN)
    width, height = _pixels(file) if content_type.startswith("image/") else (None, None)
    file.seek(0)
    return Description(digest, size, content_type, width, height)


def _pixels(file: BufferedReader) -> tuple[int | None, int | None]:
    """Width and height from the header; the picture is not decoded, whatever size it claims."""
    file.seek(0)
    try:
        with Image.open(file) as image:
            return image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return None, None
