"""ComfyUI's command line, as far as version 0.3.64 has it.

All of its flags are accepted, because a deployment's argument list must work unchanged; those that only steer
PyTorch are parsed and then have no effect. A flag that ComfyUI does not know ends the process with status 2.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

IGNORED_FLAGS = [
    "auto-launch",
    "dont-upcast-attention",
    "enable-compress-response-body",
    "disable-manager-ui",
    "force-fp32",
    "force-fp16",
    "fp32-unet",
    "fp64-unet",
    "bf16-unet",
    "fp16-unet",
    "fp8_e4m3fn-unet",
    "fp8_e5m2-unet",
    "fp8_e8m0fnu-unet",
    "fp16-vae",
    "fp32-vae",
    "bf16-vae",
    "cpu-vae",
    "fp8_e4m3fn-text-enc",
    "fp8_e5m2-text-enc",
    "fp16-text-enc",
    "fp32-text-enc",
    "bf16-text-enc",
    "force-channels-last",
    "disable-ipex-optimize",
    "supports-fp8-compute",
    "use-split-cross-attention",
    "use-quad-cross-attention",
    "use-pytorch-cross-attention",
    "use-sage-attention",
    "use-flash-attention",
    "disable-xformers",
    "force-upcast-attention",
    "gpu-only",
    "highvram",
    "normalvram",
    "lowvram",
    "novram",
    "async-offload",
    "force-non-blocking",
    "disable-smart-memory",
    "deterministic",
    "mmap-torch-files",
    "disable-mmap",
    "dont-print-server",
    "windows-standalone-build",
    "multi-user",
    "disable-all-custom-nodes",
    "disable-api-nodes",
    "disable-metadata",
    "log-stdout",
    "quick-test-for-ci",
    "cpu",
    "disable-auto-launch",
    "cache-classic",
    "cache-none",
]
VALUES: dict[str, type] = {
    "tls-keyfile": str,
    "tls-certfile": str,
    "base-directory": str,
    "output-directory": str,
    "input-directory": str,
    "temp-directory": str,
    "cuda-device": int,
    "default-device": int,
    "oneapi-device-selector": str,
    "reserve-vram": float,
    "default-hashing-function": str,
    "front-end-version": str,
    "front-end-root": str,
    "comfy-api-base": str,
}
PREVIEW_METHODS = ("none", "auto", "latent2rgb", "taesd")
EXCLUSIVE = (
    ("cache-classic", "cache-lru", "cache-none"),
    ("gpu-only", "highvram", "normalvram", "lowvram", "novram", "cpu"),
)


def _directory(text: str) -> str:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a valid directory.")
    return text


def build_parser() -> argparse.ArgumentParser:
    """Makes the parser.

    Returns:
        A parser that exits with status 2 on anything ComfyUI 0.3.64 would not take.
    """
    parser = argparse.ArgumentParser(prog="comfysim", description="A stand-in ComfyUI server; it runs no model.")
    add = parser.add_argument
    add("--listen", type=str, default="127.0.0.1", nargs="?", const="0.0.0.0,::", metavar="IP")
    add("--port", type=int, default=8188)
    add("--enable-cors-header", type=str, default=None, nargs="?", const="*", metavar="ORIGIN")
    add("--max-upload-size", type=float, default=100, metavar="MB")
    add("--extra-model-paths-config", nargs="+", action="append", default=[], metavar="PATH")
    add("--user-directory", type=_directory, default=None)
    add("--database-url", type=str, default=None)
    add("--directml", type=int, nargs="?", const=-1, default=None)
    add("--preview-method", choices=PREVIEW_METHODS, default="none")
    add("--preview-size", type=int, default=512)
    add("--whitelist-custom-nodes", nargs="+", default=[])
    add("--fast", nargs="*", default=None, metavar="FEATURE")
    add(
        "--verbose", default="INFO", const="DEBUG", nargs="?", choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    )
    for name, kind in VALUES.items():
        add(f"--{name}", type=kind, default=None)
    grouped = {name: parser.add_mutually_exclusive_group() for names in EXCLUSIVE for name in names[:1]}
    group_of = {name: grouped[names[0]] for names in EXCLUSIVE for name in names}
    group_of["cache-lru"].add_argument("--cache-lru", type=int, default=0)
    for flag in IGNORED_FLAGS:
        group_of.get(flag, parser).add_argument(f"--{flag}", action="store_true")
    return parser


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The arguments by ComfyUI's names.

    Raises:
        SystemExit: With status 2 for an unknown flag or a bad value.
    """
    args = build_parser().parse_args(argv)
    args.extra_model_paths_config = [name for names in args.extra_model_paths_config for name in names]
    args.argv = ["main.py", *argv]
    return args
