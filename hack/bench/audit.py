"""Who wrote what, from the API server's audit log."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from comfyard.controller.resources.access import AGENT

OPERATOR = "comfyard"
"""Its ServiceAccount."""

_PROGRAMS = {AGENT, OPERATOR}


@dataclass(frozen=True)
class Write:
    """A request that changes something, and was answered.

    Attributes:
        writer: The ServiceAccount of one of our programs; of others the first part of the user agent.
        what: Verb and resource.
        at: When it was answered, in seconds since 1970.
    """

    writer: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    at: float

    @property
    def what(self) -> str:
        """For people."""
        return f"{self.verb} {self.resource}" + ("" if self.taken else f" ({self.code})")

    @property
    def taken(self) -> bool:
        """Whether it has changed something."""
        return self.code < HTTPStatus.MULTIPLE_CHOICES


class AuditLog:
    """The log, from where it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size

    def skip(self) -> None:
        """Leave out what was written since the last call."""
        for _ in self.read():
            pass

    def read(self) -> Iterator[Write]:
        """What was written since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written
                self._offset += len(line)
                event = json.loads(line)
                if event["stage"] == "ResponseComplete":
                    yield _write(event)


def _write(event: dict[str, Any]) -> Write:
    ref = event["objectRef"]
    sub = f"/{ref['subresource']}" if "subresource" in ref else ""
    user = event["user"]["username"].rpartition(":")[2]
    return Write(
        writer=user if user in _PROGRAMS else event["userAgent"].split("/")[0],
        verb=event["verb"],
        resource=ref["resource"] + sub,
        namespace=ref.get("namespace", ""),
        name=ref.get("name", ""),
        code=event["responseStatus"]["code"],
        at=datetime.fromisoformat(event["stageTimestamp"]).timestamp(),
    )


def tally(writes: Iterable[Write]) -> dict[str, dict[str, int]]:
    """How often each writer did what."""
    found: dict[str, Counter[str]] = {}
    for write in writes:
        found.setdefault(write.writer, Counter())[write.what] += 1
    return {writer: dict(counts.most_common()) for writer, counts in sorted(found.items())}
