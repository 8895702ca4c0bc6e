"""Nodes that read and write what is no still picture: films, sounds, latents, texts.

Films and sounds are passed on as the bytes that they came as: the stand-in neither decodes nor encodes any.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfysim.errors import NotExecutedByStandInError
from comfysim.nodes.images import get_save_image_path
from comfysim.nodes.registry import NODES, NodeContext, NodeOutput
from comfysim.nodes.values import Film, Images, Latent, Sound

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from comfysim.json_types import Json

EXIF_MODEL = 0x0110
EXIF_MAKE = 0x010F
METHODS = {"default": 4, "fastest": 0, "slowest": 6}
FLAC = b"fLaC"
LATENT_VALUES = 16


@NODES.node("LoadVideo")
def load_video(ctx: NodeContext, file: str) -> NodeOutput:
    """Reads a film."""
    return NodeOutput((Film(Path(ctx.runtime.folders.get_annotated_filepath(file)).read_bytes()),))


@NODES.node("SaveVideo")
def save_video(
    ctx: NodeContext,
    *,
    video: Film,
    filename_prefix: str,
    format: str,  # noqa: A002 - the input's name
    codec: str,
    prompt: Json = None,
    extra_pnginfo: Json = None,
) -> NodeOutput:
    """Writes a film as it came; the history has it under "images"."""
    del format, codec, prompt, extra_pnginfo
    path, entry = _place(ctx, filename_prefix, "mp4")
    path.write_bytes(video.content)
    return NodeOutput((), {"images": [entry], "animated": (True,)})


@NODES.node("LoadAudio")
def load_audio(ctx: NodeContext, audio: str) -> NodeOutput:
    """Reads a sound."""
    return NodeOutput((Sound(Path(ctx.runtime.folders.get_annotated_filepath(audio)).read_bytes()),))


@NODES.node("SaveAudio")
def save_audio(
    ctx: NodeContext, audio: Sound, filename_prefix: str, prompt: Json = None, extra_pnginfo: Json = None
) -> NodeOutput:
    """Writes a sound that came as FLAC."""
    del prompt, extra_pnginfo
    if not audio.content.startswith(FLAC):
        raise NotExecutedByStandInError(
            "comfysim passes sounds on as they came, and SaveAudio writes FLAC; give it one"
        )
    path, entry = _place(ctx, filename_prefix, "flac")
    path.write_bytes(audio.content)
    return NodeOutput((), {"audio": [entry]})


@NODES.node("SaveAnimatedWEBP")
def save_animated_webp(  # noqa: PLR0913 - the class' inputs
    ctx: NodeContext,
    *,
    images: Images,
    filename_prefix: str,
    fps: float,
    lossless: bool,
    quality: int,
    method: str,
    prompt: Json = None,
    extra_pnginfo: Json = None,
) -> NodeOutput:
    """Writes a batch of pictures as one animation, with the graph in fields of EXIF."""
    path, entry = _place(ctx, filename_prefix, "webp", images.size)
    first, *more = images.pictures
    exif = b"" if ctx.runtime.args.disable_metadata else _exif(first, prompt, extra_pnginfo)
    first.save(
        path,
        save_all=True,
        append_images=more,
        exif=exif,
        duration=int(1000.0 / fps),
        lossless=lossless,
        quality=quality,
        method=METHODS[method],
    )
    return NodeOutput((), {"images": [entry], "animated": (len(images.pictures) != 1,)})


def _exif(picture: Image.Image, prompt: Json, extra: Json) -> Image.Exif:
    exif = picture.getexif()
    if prompt is not None:
        exif[EXIF_MODEL] = f"prompt:{json.dumps(prompt)}"
    for index, key in enumerate(extra or {}):
        exif[EXIF_MAKE - index] = f"{key}:{json.dumps(extra[key])}"
    return exif


@NODES.node("SaveLatent")
def save_latent(
    ctx: NodeContext, samples: Latent, filename_prefix: str, prompt: Json = None, extra_pnginfo: Json = None
) -> NodeOutput:
    """Writes a file as the real node does, with few numbers that follow from what the latent went through."""
    path, entry = _place(ctx, filename_prefix, "latent")
    about: dict[str, str] = {}
    if not ctx.runtime.args.disable_metadata:
        about = {"prompt": json.dumps(prompt)} | {
            key: json.dumps(value) for key, value in (extra_pnginfo or {}).items()
        }
    values = hashlib.shake_256(repr((samples.width, samples.height, samples.passes)).encode()).digest(LATENT_VALUES * 4)
    header: dict[str, Any] = {
        "__metadata__": about,
        "latent_tensor": {"dtype": "F32", "shape": [1, 4, 2, 2], "data_offsets": [0, len(values)]},
        "latent_format_version_0": {"dtype": "F32", "shape": [0], "data_offsets": [len(values), len(values)]},
    }
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + values)
    return NodeOutput((), {"latents": [entry]})


@NODES.node("PreviewAny")
def preview_any(ctx: NodeContext, source: Json = None) -> NodeOutput:
    """Shows a value as text; no file is written."""
    del ctx
    if source is None:
        text = "None"
    elif isinstance(source, str | int | float | bool):
        text = str(source)
    else:
        text = json.dumps(source, default=str)
    return NodeOutput((), {"text": (text,)})


def _place(
    ctx: NodeContext, prefix: str, extension: str, size: tuple[int, int] = (0, 0)
) -> tuple[Path, dict[str, str]]:
    folder, name, counter, subfolder = get_save_image_path(prefix, ctx.runtime.folders.output, *size)
    file = f"{name}_{counter:05}_.{extension}"
    return folder / file, {"filename": file, "subfolder": subfolder, "type": "output"}


def _content_of(name: str) -> Callable[..., str]:
    """The extra cache key of a class that reads a file, so that an overwritten upload runs anew: the file's hash."""

    def is_changed(path_of: Callable[[str], str], **values: Json) -> str:
        return hashlib.sha256(Path(path_of(values[name])).read_bytes()).hexdigest()

    return is_changed


NODES.is_changed.update(
    {
        "LoadAudio": _content_of("audio"),
        "LoadImage": _content_of("image"),
        "LoadImageMask": _content_of("image"),
        "LoadVideo": _content_of("file"),
    }
)
