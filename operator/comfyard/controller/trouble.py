"""Why something does not go on, for a condition and for people."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Trouble:
    """Why something does not go on: one word in CamelCase, and what a person reads.

    Attributes:
        since: Since when it says so, if it tells.
    """

    reason: str
    message: str
    since: datetime | None = None
