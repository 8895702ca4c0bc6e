"""What was rendered and could not be stored: kept for a while, so that another attempt here only stores it."""

import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

from comfyard.agent.files import remove_output
from comfyard.comfyui.execution import Success

KEPT_SECONDS = 900.0
"""Longer than the longest pause between two attempts. A job that goes on elsewhere leaves its files until then."""


@dataclass(frozen=True)
class _Kept:
    render: Hashable
    made: Mapping[int, Success]
    until: float


class Leftovers:
    """Files in ComfyUI's output directory that wait for another attempt of their jobs."""

    def __init__(self, output_directory: Path, seconds: float = KEPT_SECONDS) -> None:
        """Keep files of that directory for so many seconds."""
        self._root = output_directory
        self._seconds = seconds
        self._kept: dict[str, _Kept] = {}

    def keep(self, uid: str, render: Hashable, made: Mapping[int, Success]) -> None:
        """Keep what a job has made.

        Args:
            uid: The job's.
            render: What was rendered: only the same again may take it.
            made: By index.
        """
        if made:
            self._kept[uid] = _Kept(render, made, time.monotonic() + self._seconds)

    def take(self, uid: str, render: Hashable) -> Mapping[int, Success]:
        """What a job has made before, if it is the same that it would render now. It is no longer kept here."""
        kept = self._kept.pop(uid, None)
        if kept is None:
            return {}
        if kept.render == render:
            return kept.made
        self._remove(kept)
        return {}

    def expire(self) -> None:
        """Delete what nobody has come back for; call it now and then."""
        now = time.monotonic()
        for uid in [uid for uid, kept in self._kept.items() if kept.until <= now]:
            self._remove(self._kept.pop(uid))

    def _remove(self, kept: _Kept) -> None:
        for success in kept.made.values():
            remove_made(self._root, success)


def remove_made(root: Path, success: Success) -> None:
    """Delete the files of a prompt."""
    for files in success.files.values():
        for file in files:
            remove_output(root, file)
