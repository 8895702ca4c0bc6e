"""What flows along the links instead of tensors: just enough to know which picture would have come out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Model:
    """A diffusion model, perhaps with LoRAs."""

    name: str
    loras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clip:
    """One or several text encoders."""

    names: tuple[str, ...]
    layer: int = -1


@dataclass(frozen=True)
class Vae:
    """A picture decoder."""

    name: str


@dataclass(frozen=True)
class Conditioning:
    """An encoded prompt, which is the prompt."""

    text: str
    guidance: float | None = None


@dataclass(frozen=True)
class Sampling:
    """One pass of a sampler over a latent."""

    model: Model
    positive: str
    negative: str
    seed: int
    steps: int
    notes: tuple[str, ...]
    denoise: float = 1.0


@dataclass(frozen=True)
class Latent:
    """A latent: its size in pixels and what has been done to it.

    Attributes:
        width: Pixels.
        height: Pixels.
        batch: How many.
        passes: Samplers it went through.
        pixels: The pictures it was encoded from, if any.
    """

    width: int
    height: int
    batch: int = 1
    passes: tuple[Sampling, ...] = ()
    pixels: tuple[Image.Image, ...] = ()


@dataclass(frozen=True)
class Images:
    """A batch of pictures of one size."""

    pictures: tuple[Image.Image, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pictures[0].size


@dataclass(frozen=True)
class Mask:
    """One channel."""

    picture: Image.Image


@dataclass(frozen=True)
class Film:
    """A film as it came."""

    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Sound:
    """A sound as it came."""

    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Noise:
    """A seed, or none for a pass that adds no noise."""

    seed: int


@dataclass(frozen=True)
class Guider:
    """A model with its conditioning."""

    model: Model
    positive: Conditioning


@dataclass(frozen=True)
class Sampler:
    """A sampler's name."""

    name: str


@dataclass(frozen=True)
class Sigmas:
    """A noise schedule: how many steps."""

    steps: int
    scheduler: str
    denoise: float = field(default=1.0)
