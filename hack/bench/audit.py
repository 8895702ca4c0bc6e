"""Who asked the API server for what, from its audit log: all that was written, and what the operator has read."""

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


_READING = {"get", "list", "watch"}


@dataclass(frozen=True)
class Request:
    """A request that was answered; one that watches was answered when it began.

    Attributes:
        program: The ServiceAccount of one of our programs; of others the first part of the user agent.
        what: Verb and resource.
        at: When it was answered, in seconds since 1970.
    """

    program: str
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
        """Whether it was not refused."""
        return self.code < HTTPStatus.MULTIPLE_CHOICES

    @property
    def writes(self) -> bool:
        """Whether it is there to change something."""
        return self.verb not in _READING


class AuditLog:
    """The log, from where it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size

    def skip(self) -> None:
        """Leave out what was asked since the last call."""
        for _ in self.read():
            pass

    def read(self) -> Iterator[Request]:
        """What was asked since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written
                self._offset += len(line)
                event = json.loads(line)
                if event["stage"] == ("ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"):
                    yield _request(event)


def _request(event: dict[str, Any]) -> Request:
    ref = event.get("objectRef") or {"resource": event["requestURI"].partition("?")[0]}
    sub = f"/{ref['subresource']}" if "subresource" in ref else ""
    kind, _, account = event["user"]["username"].rpartition(":")
    ours = kind.startswith("system:serviceaccount:") and account in _PROGRAMS
    return Request(
        program=account if ours else event["userAgent"].split("/")[0],
        verb=event["verb"],
        resource=ref["resource"] + sub,
        namespace=ref.get("namespace", ""),
        name=ref.get("name", ""),
        code=event["responseStatus"]["code"],
        at=datetime.fromisoformat(event["stageTimestamp"]).timestamp(),
    )


def tally(requests: Iterable[Request]) -> dict[str, dict[str, int]]:
    """How often each program did what."""
    found: dict[str, Counter[str]] = {}
    for request in requests:
        found.setdefault(request.program, Counter())[request.what] += 1
    return {program: dict(counts.most_common()) for program, counts in sorted(found.items())}
