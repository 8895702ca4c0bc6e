"""Custom nodes that ComfyUI could not import: it goes on without them, and only its log tells."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_TRACEBACK = "Traceback (most recent call last):"
_CANNOT = re.compile(r"Cannot import (?P<path>.+?) module for custom nodes: (?P<why>.*)")
_OTHERWISE = (
    re.compile(r"Skip (?P<path>.+?) module for custom nodes due to "),
    re.compile(r"comfy_entrypoint in (?P<path>.+?)(?: is not callable| did not return|: )"),
)
_SUMMARY = re.compile(r" seconds \(IMPORT FAILED\): (?P<path>.+)")
"""Of the list that ends the import. ComfyUI 0.3.64 logs it as information, which --verbose WARNING leaves out."""


@dataclass(frozen=True)
class FailedImport:
    """Why a package of custom nodes is not there.

    Attributes:
        reason: In one line.
        traceback: Its lines, down to the exception; empty when nothing was raised.
    """

    reason: str
    traceback: tuple[str, ...] = ()


def failed_imports(log: str) -> dict[str, FailedImport]:
    """What failed, by the name of the package's folder or file.

    Args:
        log: What ComfyUI has written since its start. It keeps 300 pieces: what a package failed with is among them
            soon after the start, and may not be later.
    """
    lines = log.splitlines()
    found: dict[str, FailedImport] = {}
    for number, line in enumerate(lines):
        cannot, summary = _CANNOT.search(line), _SUMMARY.search(line)
        if cannot:
            traceback = _traceback(lines[:number])
            found[_name(cannot["path"])] = FailedImport(_exception(traceback) or cannot["why"], traceback)
        elif summary:
            found.setdefault(_name(summary["path"]), FailedImport("its log does not say why"))
        for pattern in _OTHERWISE:
            if other := pattern.search(line):
                found[_name(other["path"])] = FailedImport(line.strip())
    return found


def _name(path: str) -> str:
    return PurePosixPath(path.strip()).name.removesuffix(".py")


def _traceback(before: Sequence[str]) -> tuple[str, ...]:
    """The traceback at the end of these lines; ComfyUI 0.3.64 logs it just before it says what it cannot import."""
    starts = [number for number, line in enumerate(before) if line.startswith(_TRACEBACK)]
    return tuple(line for line in before[starts[-1] :] if line.strip()) if starts else ()


def _exception(traceback: Sequence[str]) -> str:
    """The line with the exception's type; more lines may follow, if the message has several."""
    indented = [number for number, line in enumerate(traceback) if line.startswith(" ")]
    after = traceback[indented[-1] + 1 :] if indented else ()
    return after[0].strip() if after else ""
