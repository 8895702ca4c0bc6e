"""After an attempt has failed: again, elsewhere, or not at all. Design: one table, this module is it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from comfyard.api.attempts import OOM_KILLED, parse_time
from comfyard.api.generation_job import MOST_ATTEMPTS, Attempt

LOST_LIMIT = 10
"""A lost server is not the job's fault and not counted, but a job that loses so many has something to do with it."""

_TRIES = 2
"""On a profile that has too little VRAM: once as it was, once with all models freed."""

_BACKOFF_BASE_SECONDS = 10
_BACKOFF_CAP_SECONDS = 360


@dataclass(frozen=True)
class Again:
    """Try (again).

    Attributes:
        profile: On the profile of that index.
        not_before: Not before that time.
        server: On that server, if it is free: what the last attempt has rendered is in its cache, or its VRAM is free.
    """

    profile: int = 0
    not_before: datetime | None = None
    server: str = ""


@dataclass(frozen=True)
class GiveUp:
    """Failed for good."""

    reason: str
    message: str


def after_attempts(attempts: Sequence[Attempt], profiles: Sequence[str], backoff_limit: int) -> Again | GiveUp:
    """What follows from the attempts so far.

    Args:
        attempts: All ended attempts, oldest first.
        profiles: Those that the job lists.
        backoff_limit: How many counted failures are tried again.
    """
    if len(attempts) >= MOST_ATTEMPTS:
        message = f"{len(attempts)} attempts are more than a status can tell of: {attempts[-1].message}"
        return GiveUp("TooManyAttempts", message)
    failed = [a for a in attempts if a.outcome == "Failed"]
    if not failed:
        return Again()
    counted = [a for a in failed if is_counted(a)]
    profile = _first_profile(failed, profiles)
    give_up = _reason_to_give_up(failed, counted, backoff_limit)
    if give_up:
        return give_up
    last = failed[-1]
    if profile >= len(profiles):
        message = f"out of VRAM on every profile of the job; add one with more memory: {last.message}"
        return GiveUp("OutOfVRAM", message)
    there = last.server if last.failure_class in {"OutputFailed", "OutOfVRAM"} else ""
    return Again(profile, _not_before(last, len(counted)), there)


def _first_profile(failed: Sequence[Attempt], profiles: Sequence[str]) -> int:
    """Index of the one after the last that had too little VRAM."""
    tries = Counter(a.profile for a in failed if a.failure_class == "OutOfVRAM")
    return max((index + 1 for index, name in enumerate(profiles) if tries[name] >= _TRIES), default=0)


def is_counted(attempt: Attempt) -> bool:
    """Whether a failed attempt counts against backoffLimit: not what is no fault of the job, or leads elsewhere."""
    if attempt.failure_class == "ServerLost":
        return attempt.reason == OOM_KILLED
    return attempt.failure_class != "OutOfVRAM"


def _reason_to_give_up(failed: Sequence[Attempt], counted: Sequence[Attempt], backoff_limit: int) -> GiveUp | None:
    last = failed[-1]
    lost = sum(a.failure_class == "ServerLost" for a in failed)
    same = sum(a.failure_class == "NodeError" and a.message == last.message for a in counted)
    if last.failure_class == "Invalid":
        return GiveUp("Invalid", last.message)
    if lost > LOST_LIMIT:
        return GiveUp("ServerLost", f"lost {lost} servers, which is more than chance: {last.message}")
    if last.failure_class == "NodeError" and same > 1:
        return GiveUp("NodeError", f"the same error twice: {last.message}")
    if len(counted) > backoff_limit:
        message = f"failed {len(counted)} times, backoffLimit is {backoff_limit}: {last.message}"
        return GiveUp("BackoffLimitExceeded", message)
    return None


def _not_before(last: Attempt, counted: int) -> datetime | None:
    """10 s, 20 s, 40 s … up to 6 minutes after a counted failure, as Kubernetes' Job does; at once after others."""
    if last.failure_class == "ServerStuck" or not is_counted(last):
        return None
    seconds = min(_BACKOFF_CAP_SECONDS, _BACKOFF_BASE_SECONDS * 2 ** (counted - 1))
    return parse_time(last.end) + timedelta(seconds=seconds)
