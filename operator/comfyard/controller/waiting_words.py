"""What a job that waits for a server says: its place and why it waits; and when that is worth another write."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfyard.controller.queue import Demand

STATE = "Queued"
REASON = "WaitingForServer"

_NEAR = (10, 100)
"""Places at which it is told again: so many writes are enough to see that a queue moves, however long it is."""

_FORM = re.compile(r"place (?P<place>\d+) of \d+ in namespace \S+ for profile \S+?: (?P<why>.*)", re.DOTALL)


@dataclass(frozen=True)
class Told:
    """What a waiting job's status says."""

    place: int
    why: str


def words(demand: Demand, place: int, among: int, why: str) -> str:
    """The message of a job.

    Args:
        demand: What it waits for.
        place: In the line of its namespace and profile, from 1 on.
        among: How long that is.
        why: Why its pool has no server for it.
    """
    where = f"in namespace {demand.pool.namespace} for profile {demand.pool.profile}"
    return f"place {place} of {among} {where}: {why}"


def told(status: Mapping[str, Any]) -> Told | None:
    """What a status says; None when it says nothing of the kind."""
    found = _FORM.fullmatch(str(status.get("message", ""))) if status.get("state") == STATE else None
    return Told(int(found["place"]), found["why"]) if found else None


def is_worth_telling(before: Told | None, place: int, why: str) -> bool:
    """Whether a job is to be told where it stands: at first, when the reason is another, when it has come near."""
    return before is None or before.why != why or _distance(place) < _distance(before.place)


def _distance(place: int) -> int:
    return sum(place > near for near in _NEAR)
