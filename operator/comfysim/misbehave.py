"""Switches that make the stand-in fail the way real servers do, so that clients can be tested against it.

They come, in this order of precedence, from `[sim: ...]` in a positive prompt, from POST /comfysim/misbehave, from
the file that COMFYSIM_MISBEHAVE_FILE names, and from COMFYSIM_MISBEHAVE at the start.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import re
import threading
from typing import TYPE_CHECKING, Any

from comfysim.errors import out_of_memory
from comfysim.switches import Switches, parse_switches

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger("comfysim")

PROMPT_SWITCH = re.compile(r"\[sim:\s*(?P<once>once-)?(?P<name>[a-z-]+)\s*(?:=\s*(?P<value>[^\]]*?)\s*)?\]")
LARGEST_EDGE = 16_384
CRASH_STATUS = 139


class Misbehaviour:
    """The switches of one process.

    Args:
        start: Switches that are on from the start.
        file: The switch file, if any.
        prompt_switches: Whether prompts may carry switches.
        once_directory: Where marks of `once-` switches are kept, so that they hold across restarts.
    """

    def __init__(
        self, start: Mapping[str, Any], file: Path | None, once_directory: Path, *, prompt_switches: bool = False
    ) -> None:
        self.start = parse_switches(Switches(), start)
        self.switches = dataclasses.replace(self.start)
        self.file = file
        self.prompt_switches = prompt_switches
        self.once_directory = once_directory
        self._file_text: str | None = None
        self._lock = threading.Lock()
        self._marks: set[str] = set()

    def update(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Changes switches at run time.

        Args:
            changes: New values; {"reset": true} goes back to those of the start first.

        Returns:
            All switches.
        """
        with self._lock:
            rest = {name: value for name, value in changes.items() if name != "reset"}
            base = self.start if changes.get("reset") else self.switches
            self.switches = parse_switches(dataclasses.replace(base), rest)
        return self.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """Shows the switches.

        Returns:
            Values by name.
        """
        return dataclasses.asdict(self.switches)

    def read_file(self) -> None:
        """Applies the switch file if its text changed; counters of an unchanged file are not wound up again."""
        if self.file is None:
            return
        try:
            text = self.file.read_text(encoding="utf-8")
        except OSError:
            text = ""
        if text == (self._file_text or ""):
            return
        self._file_text = text
        try:
            self.update({"reset": True, **(json.loads(text) if text.strip() else {})})
        except (ValueError, TypeError) as error:
            log.warning("comfysim: %s: %s", self.file, error)

    def take(self, name: str) -> bool:
        """Uses a counter up by one.

        Args:
            name: A counting switch.

        Returns:
            Whether it was on.
        """
        with self._lock:
            left = int(getattr(self.switches, name))
            if left > 0:
                setattr(self.switches, name, left - 1)
            return left != 0

    def in_prompt(self, text: str, name: str) -> str | None:
        """Looks for a switch in a prompt.

        Args:
            text: The positive prompt.
            name: The switch, without `once-`.

        Returns:
            Its value, "" if it has none, or None if it is not there or was used up.
        """
        if not self.prompt_switches:
            return None
        for match in PROMPT_SWITCH.finditer(text):
            if match["name"] == name and (not match["once"] or self._first_time(text, name)):
                return match["value"] or ""
        return None

    def _first_time(self, text: str, name: str) -> bool:
        mark = hashlib.sha256(f"{name} {text}".encode()).hexdigest()[:24]
        if mark in self._marks:
            return False
        self._marks.add(mark)
        try:
            self.once_directory.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.once_directory / f"comfysim-once-{mark}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        except OSError as error:
            log.warning("comfysim: a once- switch is only remembered in memory: %s", error)
        return True

    def seconds_per_step(self, text: str, default: float) -> float:
        """Tells how long a step takes.

        Args:
            text: The positive prompt.
            default: The configured time.

        Returns:
            Seconds.
        """
        asked = self.in_prompt(text, "step")
        try:
            return float(asked) if asked else self.switches.step_seconds or default
        except ValueError:
            return default

    def strike(self, text: str, step: int | None, size: tuple[int, int, int], vram_bytes: int) -> None:
        """Fails here if a switch says so; called before every sampler step and before every output node.

        Args:
            text: The positive prompt, "" where there is none.
            step: The coming step, from 1; None before an output node, where everything left over comes true.
            size: Width, height and number of the pictures; zeros where there are none.
            vram_bytes: For the wording of the memory error.

        Raises:
            OutOfMemoryError: As torch does.
            RuntimeError: The asked-for node error.
            SystemExit: Which no node's error handling catches, so that it ends the worker thread.
        """
        crash = self._prompt_step(text, "crash")
        if crash is not None and step == crash and self.in_prompt(text, "crash") is not None:
            self._crash()
        if step in (None, self.switches.crash_at_step) and self.take("crash"):
            self._crash()
        if step not in (None, 1):
            return
        if self.in_prompt(text, "stuck") is not None or self.take("stuck"):
            log.warning("comfysim: the worker hangs from here on, as it was asked to")
            threading.Event().wait()
        if self.in_prompt(text, "dead") is not None or self.take("dead_worker"):
            raise SystemExit
        width, height, batch = size
        limit = _pixels(self.in_prompt(text, "oom-above") or self.switches.oom_above)
        too_big = limit is not None and width * height > limit
        if too_big or self.in_prompt(text, "oom") is not None or self.take("oom"):
            raise out_of_memory(width, height, max(batch, 1), vram_bytes)
        message = self.in_prompt(text, "error")
        if message is not None:
            raise RuntimeError(message or self.switches.error_text)
        if self.take("error"):
            raise RuntimeError(self.switches.error_text)

    def _prompt_step(self, text: str, name: str) -> int | None:
        if not self.prompt_switches:
            return None
        values = [m["value"] for m in PROMPT_SWITCH.finditer(text) if m["name"] == name]
        if not values:
            return None
        return int(values[0]) if (values[0] or "").isdigit() else 1

    @staticmethod
    def _crash() -> None:
        log.warning("comfysim: the process ends here, as it was asked to")
        os._exit(CRASH_STATUS)


def _pixels(value: str | int | None) -> int | None:
    if value is None:
        return None
    edges = [int(part) for part in re.findall(r"\d+", str(value))]
    if not edges:
        return None
    if len(edges) > 1:
        return edges[0] * edges[1]
    return edges[0] ** 2 if edges[0] <= LARGEST_EDGE else edges[0]
