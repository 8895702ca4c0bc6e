"""Nodes that read, scale and write pictures."""

from __future__ import annotations

import json
import os
import random
import string
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from comfysim.model_folders import absolute, is_inside
from comfysim.nodes.registry import NODES, NodeContext, NodeOutput
from comfysim.nodes.values import Images, Mask

if TYPE_CHECKING:
    from comfysim.json_types import Json

RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@NODES.node("SaveImage")
def save_image(
    ctx: NodeContext,
    images: Images,
    filename_prefix: str,
    prompt: Json = None,
    extra_pnginfo: Json = None,
) -> NodeOutput:
    """Writes pictures to the output directory."""
    saved = _save(ctx, images, filename_prefix, ctx.runtime.folders.output, 4, (prompt, extra_pnginfo))
    return NodeOutput((), {"images": [{**entry, "type": "output"} for entry in saved]})


@NODES.node("PreviewImage")
def preview_image(ctx: NodeContext, images: Images, prompt: Json = None, extra_pnginfo: Json = None) -> NodeOutput:
    """Writes pictures to the temp directory, under a name that nobody else has."""
    letters = "".join(random.choice(string.ascii_lowercase) for _ in range(5))  # noqa: S311 - no secret
    prefix = f"ComfyUI_temp_{letters}"
    saved = _save(ctx, images, prefix, ctx.runtime.folders.temp, 1, (prompt, extra_pnginfo))
    return NodeOutput((), {"images": [{**entry, "type": "temp"} for entry in saved]})


def _save(
    ctx: NodeContext, images: Images, prefix: str, directory: str, level: int, metadata: tuple[Any, Any]
) -> list[dict[str, str]]:
    width, height = images.size
    folder, name, counter, subfolder = get_save_image_path(prefix, directory, width, height)
    saved: list[dict[str, str]] = []
    for index, picture in enumerate(images.pictures):
        info: PngInfo | None = None
        if not ctx.runtime.args.disable_metadata:
            info = PngInfo()
            prompt, extra = metadata
            if prompt is not None:
                info.add_text("prompt", json.dumps(prompt))
            if extra is not None:
                for key in extra:
                    info.add_text(key, json.dumps(extra[key]))
        file = f"{name.replace('%batch_num%', str(index))}_{counter:05}_.png"
        picture.save(folder / file, pnginfo=info, compress_level=level)
        saved.append({"filename": file, "subfolder": subfolder})
        counter += 1
    return saved


def get_save_image_path(prefix: str, directory: str, width: int, height: int) -> tuple[Path, str, int, str]:
    """Finds the next free name, by listing the directory: two processes that share it overwrite each other.

    Args:
        prefix: `filename_prefix`, perhaps with folders and %date% placeholders.
        directory: The output or temp directory.
        width: For %width%.
        height: For %height%.

    Returns:
        The folder, the file name's first part, the counter to begin with, and the subfolder to tell the client.

    Raises:
        Exception: The prefix leads out of the directory.
        OSError: The folder cannot be made, for example on a read-only file system.
    """
    prefix = expand_placeholders(prefix, width, height) if "%" in prefix else prefix
    normal = os.path.normpath(prefix)
    subfolder, name = os.path.split(normal)
    folder = Path(absolute(directory, subfolder))
    if not is_inside(directory, str(folder)):
        common = os.path.commonpath((directory, folder))
        raise Exception(  # noqa: TRY002 - the type that a client of ComfyUI sees
            "**** ERROR: Saving image outside the output folder is not allowed.\n full_output_folder: "
            f"{folder}\n         output_dir: {directory}\n         commonpath: {common}"
        )
    try:
        taken = [_counter(entry.name, name) for entry in folder.iterdir()]
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        taken = []
    return folder, name, max((n for n in taken if n is not None), default=0) + 1, subfolder


def _counter(entry: str, name: str) -> int | None:
    if not entry.startswith(f"{name}_"):
        return None
    digits = entry[len(name) + 1 :].split("_", maxsplit=1)[0]
    return int(digits) if digits.isdecimal() else 0


def expand_placeholders(text: str, width: int, height: int) -> str:
    """Fills in %width%, %height% and the parts of the local time.

    Args:
        text: A file prefix.
        width: Pixels.
        height: Pixels.

    Returns:
        The prefix without them.
    """
    now = time.localtime()
    values = {"width": str(width), "height": str(height), "year": str(now.tm_year)}
    parts: list[tuple[str, int]] = [
        ("month", now.tm_mon),
        ("day", now.tm_mday),
        ("hour", now.tm_hour),
        ("minute", now.tm_min),
        ("second", now.tm_sec),
    ]
    values.update((name, f"{value:02}") for name, value in parts)
    for name, value in values.items():
        text = text.replace(f"%{name}%", value)
    return text


@NODES.node("LoadImage")
def load_image(ctx: NodeContext, image: str) -> NodeOutput:
    """Reads a picture from the input directory, or from wherever the path leads."""
    path = ctx.runtime.folders.get_annotated_filepath(image)
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file)
    mask = ImageOps.invert(picture.getchannel("A")) if "A" in picture.getbands() else Image.new("L", (64, 64))
    return NodeOutput((Images((picture.convert("RGB"),)), Mask(mask)))


@NODES.node("LoadImageMask")
def load_image_mask(ctx: NodeContext, image: str, channel: str) -> NodeOutput:
    """Reads one channel of a picture; a missing alpha channel is an empty mask."""
    with Image.open(ctx.runtime.folders.get_annotated_filepath(image)) as file:
        picture = ImageOps.exif_transpose(file).convert("RGBA")
    mask = picture.getchannel(channel[0].upper())
    return NodeOutput((Mask(ImageOps.invert(mask) if channel == "alpha" else mask),))


@NODES.node("MaskToImage")
def mask_to_image(ctx: NodeContext, mask: Mask) -> NodeOutput:
    """Makes a grey picture of a mask."""
    del ctx
    return NodeOutput((Images((mask.picture.convert("RGB"),)),))


@NODES.node("ImageScale")
def image_scale(ctx: NodeContext, image: Images, upscale_method: str, width: int, height: int, crop: str) -> NodeOutput:
    """Scales pictures; a side of 0 follows from the other one."""
    del ctx
    old_width, old_height = image.size
    if width == 0 and height == 0:
        return NodeOutput((image,))
    width = width or max(1, round(old_width * height / old_height))
    height = height or max(1, round(old_height * width / old_width))
    how = RESAMPLING[upscale_method]

    def scaled(picture: Image.Image) -> Image.Image:
        if crop == "center":
            return ImageOps.fit(picture, (width, height), how)
        return picture.resize((width, height), how)

    return NodeOutput((Images(tuple(scaled(picture) for picture in image.pictures)),))
