"""Nodes that make and change latents, and those between latents and pictures."""

from __future__ import annotations

import dataclasses
import time

from PIL import Image

from comfysim import render
from comfysim.nodes.registry import NODES, NodeContext, NodeOutput
from comfysim.nodes.values import Images, Latent, Sampling, Vae

CELL = 8
EMPTY = (127, 127, 127)


@NODES.node("EmptyLatentImage", "EmptySD3LatentImage")
def empty_latent_image(ctx: NodeContext, width: int, height: int, batch_size: int = 1) -> NodeOutput:
    """Makes an empty latent; sizes are rounded down to whole cells."""
    del ctx
    return NodeOutput((Latent(width // CELL * CELL, height // CELL * CELL, batch_size),))


@NODES.node("LatentUpscale")
def latent_upscale(
    ctx: NodeContext, samples: Latent, upscale_method: str, width: int, height: int, crop: str
) -> NodeOutput:
    """Scales a latent; a side of 0 follows from the other one."""
    del ctx, upscale_method, crop
    if width == 0 and height == 0:
        return NodeOutput((samples,))
    width = width or round(samples.width * height / samples.height)
    height = height or round(samples.height * width / samples.width)
    new = max(64, width) // CELL * CELL, max(64, height) // CELL * CELL
    pixels = tuple(picture.resize(new, Image.Resampling.BICUBIC) for picture in samples.pixels)
    return NodeOutput((dataclasses.replace(samples, width=new[0], height=new[1], pixels=pixels),))


@NODES.node("VAEEncode")
def vae_encode(ctx: NodeContext, pixels: Images, vae: Vae) -> NodeOutput:
    """Makes a latent of pictures, cut to whole cells."""
    if not vae.name:
        raise RuntimeError("ERROR: VAE is invalid: None")
    width, height = (edge // CELL * CELL for edge in pixels.size)
    time.sleep(ctx.runtime.settings.decode_seconds * len(pixels.pictures))
    cut = tuple(picture.crop((0, 0, width, height)) for picture in pixels.pictures)
    return NodeOutput((Latent(width, height, len(cut), (), cut),))


@NODES.node("VAEDecode")
def vae_decode(ctx: NodeContext, samples: Latent, vae: Vae) -> NodeOutput:
    """Makes the pictures: here the stand-in draws."""
    if not vae.name:
        raise RuntimeError("ERROR: VAE is invalid: None")
    time.sleep(ctx.runtime.settings.decode_seconds * samples.batch)
    return NodeOutput((Images(tuple(_picture(samples, index) for index in range(samples.batch))),))


def _picture(latent: Latent, index: int) -> Image.Image:
    size = latent.width, latent.height
    base = latent.pixels[index] if index < len(latent.pixels) else None
    if not latent.passes:
        return base.copy() if base else Image.new("RGB", size, EMPTY)
    scene = scene_of(latent.passes, index)
    picture = render.landscape(scene, *size)
    denoise = latent.passes[0].denoise
    if base is not None and denoise < 1:
        picture = Image.blend(base, picture, denoise)
    render.caption(picture, scene)
    return picture


def scene_of(passes: tuple[Sampling, ...], index: int) -> render.Scene:
    """Says what a picture follows from: the first pass decides on the motif, all of them are in the caption.

    Args:
        passes: At least one sampler pass.
        index: Which picture of the batch.

    Returns:
        The scene.
    """
    first = passes[0]
    names = dict.fromkeys(" + ".join((p.model.name, *p.model.loras)) for p in passes)
    details = tuple(note for p in passes for note in (f"{p.steps} steps", *p.notes))
    return render.Scene(first.positive, first.negative, first.seed, index, ", ".join(names), details)
