"""The execution record: one JSON line per execution's start and one per its end.

Tests count it to see whether a job ran twice, also when the process was restarted in between; so a line is one
append-mode write, and the file is only ever added to.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from comfysim.json_types import Json


class ExecutionRecord:
    """The record of one process, and of those before it if it is kept in a file.

    Args:
        path: The file, or None to keep the record in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.boot = uuid.uuid4().hex
        self._lines: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        if path is not None:  # a place that cannot be written to must fail at the start, not in the worker thread
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def append(self, event: str, **facts: Json) -> None:
        """Adds a line.

        Args:
            event: "start" or "end".
            **facts: What there is to say.
        """
        line = {"event": event, "time": time.time(), "pid": os.getpid(), "boot": self.boot, **facts}
        if self.path is None:
            with self._lock:
                self._lines.append(line)
            return
        data = (json.dumps(line, default=repr) + "\n").encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def read(self) -> list[dict[str, Any]]:
        """Reads the record.

        Returns:
            All lines, oldest first, with those of earlier processes if there is a file.
        """
        if self.path is None:
            with self._lock:
                return list(self._lines)
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines() if line]
