"""Draws the stand-in's pictures: a landscape that follows from prompt, model and seed, and what was asked for in words.

Nothing here looks at the clock or at random state, so the same inputs give the same bytes.
"""

from __future__ import annotations

import colorsys
import hashlib
import math
import random
import textwrap
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

LABEL = "comfysim: a stand-in, no model was run"
SMALLEST_WITH_TEXT = 128
NIGHTS = range(3)  # of ten pictures
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """What one picture follows from.

    Attributes:
        prompt: The positive prompt.
        negative: The negative prompt.
        seed: The seed.
        index: Which picture of the batch.
        model: The model's file name.
        details: Further lines for the caption.
    """

    prompt: str
    negative: str
    seed: int
    index: int
    model: str
    details: tuple[str, ...] = ()


def render(scene: Scene, width: int, height: int) -> Image.Image:
    """Draws a picture with its caption.

    Args:
        scene: What it follows from.
        width: Pixels.
        height: Pixels.

    Returns:
        An RGB image of that size.
    """
    image = landscape(scene, width, height)
    caption(image, scene)
    return image


def landscape(scene: Scene, width: int, height: int) -> Image.Image:
    """Draws the picture without words.

    Args:
        scene: What it follows from.
        width: Pixels.
        height: Pixels.

    Returns:
        An RGB image of that size.
    """
    text = f"{scene.prompt}\0{scene.negative}\0{scene.model}\0{scene.seed}\0{scene.index}"
    chance = random.Random(hashlib.sha256(text.encode()).digest())  # noqa: S311 - wanted: always the same
    hue = chance.random()
    night = chance.randrange(10) in NIGHTS
    scale = 2 if width * height <= 2**21 else 1
    wide, high = width * scale, height * scale
    top = _colour(hue, 0.65, 0.25 if night else 0.62)
    horizon = _colour(hue + chance.uniform(0.08, 0.22), 0.45, 0.6 if night else 0.98)
    image = _sky(wide, high, top, horizon)
    draw = ImageDraw.Draw(image)
    if night:
        for _ in range(60):
            x, y = chance.uniform(0, wide), chance.uniform(0, high * 0.6)
            size = scale * chance.uniform(0.4, 1.4)
            draw.ellipse((x - size, y - size, x + size, y + size), fill=(240, 240, 225))
    _sun(draw, chance, wide, high, _mix(horizon, (255, 250, 225), 0.75), horizon)
    layers = chance.randint(4, 6)
    near = _colour(hue + chance.uniform(-0.06, 0.06), 0.7, 0.12)
    for layer in range(layers):
        depth = (layer + 1) / layers
        base = high * (0.42 + 0.5 * depth * 0.9)
        draw.polygon(_ridge(chance, wide, high, base, depth), fill=_mix(horizon, near, depth**0.8))
    return image.reduce(scale) if scale > 1 else image


def caption(image: Image.Image, scene: Scene) -> None:
    """Writes onto the picture what was asked for, and that no model was run.

    Args:
        image: The picture; changed in place.
        scene: What it follows from.
    """
    width, height = image.size
    if min(width, height) < SMALLEST_WITH_TEXT:
        return
    size = max(9, min(width, height) // 30)
    font, small = _font(size), _font(max(8, size * 3 // 4))
    columns = max(12, int(width * 0.9 / (size * 0.46)))
    shown = " ".join(scene.prompt.split()) or "(empty prompt)"
    prompt = textwrap.wrap(shown, columns, max_lines=3, placeholder=" ...")
    rows = [(line, font, (255, 255, 255)) for line in prompt]
    grey = (205, 210, 220)
    batch = f"  picture {scene.index + 1}" if scene.index else ""
    for note in (", ".join((f"seed {scene.seed}{batch}", *scene.details)), scene.model):
        rows.extend((line, small, grey) for line in textwrap.wrap(note, columns * 4 // 3))
    rows.append((LABEL, small, (255, 214, 120)))
    heights = [int(f.size * 1.35) for _, f, _ in rows]
    margin = size * 2 // 3
    above = max(0, height - sum(heights) - 2 * margin)
    panel = image.crop((0, above, width, height)).point(_darker())
    image.paste(panel, (0, above))
    draw = ImageDraw.Draw(image)
    draw.line((0, above, width, above), fill=(255, 214, 120), width=max(1, size // 10))
    y = above + margin
    for (line, face, colour), step in zip(rows, heights, strict=True):
        draw.text((margin, y), line, font=face, fill=colour)
        y += step


def preview(scene: Scene, width: int, height: int, done: float, longest: int) -> Image.Image:
    """Draws how the picture looks part of the way, as latent previews do: noise that clears up.

    Args:
        scene: What it follows from.
        width: Pixels of the final picture.
        height: Likewise.
        done: Part of the steps that is done, 0 to 1.
        longest: The longer edge of the preview.

    Returns:
        A small RGB image.
    """
    ratio = longest / max(width, height)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    coarse = max(1, size[0] // 8), max(1, size[1] // 8)
    chance = random.Random(scene.seed)  # noqa: S311 - wanted: always the same
    noise = Image.frombytes("RGB", coarse, chance.randbytes(3 * coarse[0] * coarse[1]))
    clear = landscape(scene, *coarse)
    return Image.blend(noise, clear, min(max(done, 0.0), 1.0)).resize(size, Image.Resampling.BILINEAR)


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _mix(left: Colour, right: Colour, part: float) -> Colour:
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(left, right, strict=True))
    return red, green, blue


def _sky(width: int, height: int, top: Colour, bottom: Colour) -> Image.Image:
    rows = [_mix(top, bottom, min(1.0, (i / 127) * 1.5)) for i in range(128)]
    strip = Image.frombytes("RGB", (1, 128), bytes(part for row in rows for part in row))
    return strip.resize((1, height), Image.Resampling.BICUBIC).resize((width, height), Image.Resampling.NEAREST)


def _sun(
    draw: ImageDraw.ImageDraw, chance: random.Random, width: int, height: int, bright: Colour, dim: Colour
) -> None:
    x, y = width * chance.uniform(0.15, 0.85), height * chance.uniform(0.14, 0.42)
    radius = min(width, height) * chance.uniform(0.05, 0.13)
    for size, fading in ((2.1, 0.9), (1.55, 0.78), (1.0, 0.0)):
        edge = radius * size
        draw.ellipse((x - edge, y - edge, x + edge, y + edge), fill=_mix(bright, dim, fading))


def _ridge(chance: random.Random, width: int, height: int, base: float, depth: float) -> list[tuple[float, float]]:
    waves = [
        (
            chance.uniform(0.8, 1.6) * 2**octave,
            chance.uniform(0, math.tau),
            height * 0.07 * (1.15 - 0.5 * depth) / 1.9**octave,
        )
        for octave in range(5)
    ]
    points = [(0.0, float(height))]
    count = 96
    for i in range(count + 1):
        part = i / count
        lift = sum(amplitude * math.sin(math.tau * rate * part + phase) for rate, phase, amplitude in waves)
        points.append((part * width, base - lift))
    points.append((float(width), float(height)))
    return points


@lru_cache(maxsize=1)
def _darker() -> list[int]:
    return [int(value * 0.28) + 6 for value in range(256)] * 3


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType")
    return font
