"""What the environment says about the stand-in: timing, the pretended card, and the test switches.

ComfyUI's own arguments stay ComfyUI's own (see `cli_args`); everything that only a stand-in has comes from
`COMFYSIM_*` variables, so that one and the same command line works for the real server and for this one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 1024**3


@dataclass(frozen=True)
class Settings:
    """One process' settings.

    Attributes:
        step_seconds: How long one sampler step takes.
        decode_seconds: How long VAEDecode and VAEEncode take for one picture.
        startup_seconds: How long the port stays closed after the process has started.
        load_bytes_per_second: The rate at which model files are "read"; 0 means at once.
        vram_bytes: Memory of the pretended card.
        gpu_name: Its name in /system_stats.
        record: File for the execution record, or None to keep it in memory only.
        misbehave: Switches that are on from the start.
        misbehave_file: A JSON file with switches, read at each execution start and at each submission.
        prompt_switches: Whether `[sim: ...]` in a positive prompt is honoured.
        once_directory: Where `once-` switches leave their marks; None means the user directory.
    """

    step_seconds: float = 0.1
    decode_seconds: float = 0.0
    startup_seconds: float = 0.0
    load_bytes_per_second: float = 2e9
    vram_bytes: int = 24 * GIB
    gpu_name: str = "comfysim pretend GPU"
    record: Path | None = None
    misbehave: Mapping[str, Any] = field(default_factory=dict)
    misbehave_file: Path | None = None
    prompt_switches: bool = False
    once_directory: Path | None = None


def from_environ(environ: Mapping[str, str]) -> Settings:
    """Reads the settings.

    Args:
        environ: The process environment.

    Returns:
        The settings, with defaults for what is not set.

    Raises:
        ValueError: A variable has a value that cannot be used; the message names it.
    """
    default = Settings()

    def number(name: str, fallback: float) -> float:
        text = environ.get(name, "").strip()
        if not text:
            return fallback
        try:
            value = float(text)
        except ValueError as error:
            raise ValueError(f"{name}={text!r} is not a number") from error
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name}={text!r} must be a finite number, 0 or more")
        return value

    def path(name: str) -> Path | None:
        text = environ.get(name, "")
        return Path(text) if text else None

    try:
        misbehave = json.loads(environ.get("COMFYSIM_MISBEHAVE") or "{}")
    except ValueError as error:
        raise ValueError(f"COMFYSIM_MISBEHAVE is not JSON: {error}") from error
    if not isinstance(misbehave, dict):
        raise ValueError("COMFYSIM_MISBEHAVE is not a JSON object")  # noqa: TRY004 - all bad settings are
    return Settings(
        step_seconds=number("COMFYSIM_STEP_SECONDS", default.step_seconds),
        decode_seconds=number("COMFYSIM_DECODE_SECONDS", default.decode_seconds),
        startup_seconds=number("COMFYSIM_STARTUP_SECONDS", default.startup_seconds),
        load_bytes_per_second=number("COMFYSIM_LOAD_BYTES_PER_SECOND", default.load_bytes_per_second),
        vram_bytes=int(number("COMFYSIM_VRAM_BYTES", default.vram_bytes)),
        gpu_name=environ.get("COMFYSIM_GPU_NAME") or default.gpu_name,
        record=path("COMFYSIM_RECORD"),
        misbehave=misbehave,
        misbehave_file=path("COMFYSIM_MISBEHAVE_FILE"),
        prompt_switches=environ.get("COMFYSIM_PROMPT_SWITCHES", "") == "1",
        once_directory=path("COMFYSIM_ONCE_DIRECTORY"),
    )
