"""Which model folders there are, what counts as a model in them, and how a directory is listed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MODEL_EXTENSIONS = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"})
SEVERAL_DIRECTORIES = {
    "text_encoders": ("text_encoders", "clip"),
    "diffusion_models": ("unet", "diffusion_models"),
    "controlnet": ("controlnet", "t2i_adapter"),
}
MODEL_FOLDERS = [
    "checkpoints",
    "configs",
    "loras",
    "vae",
    "text_encoders",
    "diffusion_models",
    "clip_vision",
    "style_models",
    "embeddings",
    "diffusers",
    "vae_approx",
    "controlnet",
    "gligen",
    "upscale_models",
    "custom_nodes",
    "hypernetworks",
    "photomaker",
    "classifiers",
    "model_patches",
    "audio_encoders",
]
OTHER_EXTENSIONS: dict[str, frozenset[str]] = {
    "configs": frozenset({".yaml"}),
    "diffusers": frozenset({"folder"}),
    "custom_nodes": frozenset(),
    "classifiers": frozenset({""}),
}
ALSO_IN_OUTPUT = {
    "checkpoints": "checkpoints",
    "text_encoders": "clip",
    "vae": "vae",
    "diffusion_models": "diffusion_models",
    "loras": "loras",
}
LEGACY_NAMES = {"unet": "diffusion_models", "clip": "text_encoders"}
FILE_KINDS = ("input", "output", "temp")


@dataclass
class ModelFolder:
    """One key of /models.

    Attributes:
        paths: Directories that are searched, first match wins.
        extensions: What counts as a model; empty means everything.
    """

    paths: list[str]
    extensions: frozenset[str] = MODEL_EXTENSIONS


@dataclass
class Listing:
    """A folder's names, and the directories' times that they hold for."""

    names: list[str]
    times: dict[str, float]


def absolute(*parts: str) -> str:
    """Joins and normalises a path without following symlinks, which ComfyUI's containment checks rest on.

    Args:
        *parts: Parts of it.

    Returns:
        An absolute path without "..".
    """
    return os.path.abspath(os.path.join(*parts))  # noqa: PTH100, PTH118 - pathlib would keep or follow


def is_inside(directory: str, path: str) -> bool:
    """Tells whether a path lies in a directory, by their names alone.

    Args:
        directory: Absolute.
        path: Absolute.

    Returns:
        Also True for the directory itself.
    """
    return os.path.commonpath((directory, path)) == directory


def mtime(path: str) -> float:
    """Reads a directory's modification time.

    Args:
        path: The directory.

    Returns:
        Seconds; 0 if it is not there.
    """
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return 0.0


def walk(root: str) -> tuple[list[str], dict[str, float]]:
    """Lists all files below a directory, following symlinks and skipping .git.

    Args:
        root: The directory.

    Returns:
        Names relative to it, and the times of all directories that were seen.
    """
    files: list[str] = []
    times: dict[str, float] = {}
    for directory, subdirectories, names in os.walk(root, followlinks=True):
        subdirectories[:] = [name for name in subdirectories if name != ".git"]
        times[directory] = mtime(directory)
        inside = Path(directory).relative_to(root)
        files.extend(str(inside / name) for name in names)
    return files, times


def matching(names: Iterable[str], extensions: frozenset[str]) -> list[str]:
    """Picks the models.

    Args:
        names: File names.
        extensions: What counts; empty means everything.

    Returns:
        Those that count.
    """
    return [n for n in names if not extensions or Path(n).suffix.lower() in extensions]
