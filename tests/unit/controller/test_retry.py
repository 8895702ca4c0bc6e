"""Design section 4's table of failures: each class, and what follows from it."""

from datetime import timedelta

import pytest

from comfyard.api.attempts import parse_time
from comfyard.api.generation_job import MOST_ATTEMPTS, Attempt
from comfyard.controller.retry import LOST_LIMIT, Again, GiveUp, after_attempts

OOM = "ServerLost:OOMKilled"
"""A lost server with its cause."""

PROFILES = ["l4", "a100"]

SAME = "NodeError:same"
"""A node's error, in the words of others like it."""


def attempts(*kinds: str) -> list[Attempt]:
    """Failed attempts, each with words of its own, on the profile that it was the turn of."""
    short = [kinds[:number].count("OutOfVRAM") // 2 for number in range(len(kinds))]
    return [attempt(number, PROFILES[short[number]], *kind.split(":")) for number, kind in enumerate(kinds)]


def attempt(number: int, profile: str, kind: str, more: str = "") -> Attempt:
    record = {"id": str(number), "server": f"s{number}", "start": "2026-01-02T03:04:00Z", "end": "2026-01-02T03:04:05Z"}
    record |= {"profile": profile}
    outcome = {"outcome": "Stopped"} if kind == "Stopped" else {"outcome": "Failed", "class": kind}
    reason = {"reason": more} if more == "OOMKilled" else {}
    message = "boom" if more == "same" else f"boom {number}"
    return Attempt.model_validate({**record, **outcome, **reason, "message": message})


@pytest.mark.parametrize(
    ("kinds", "profile", "seconds"),
    [
        ((), 0, None),
        (("NodeError",), 0, 10),
        (("NodeError", "NodeError"), 0, 20),
        (("InputFailed",), 0, 10),
        (("InputFailed", "InputFailed"), 0, 20),
        (("OutputFailed",), 0, 10),
        (("OutputFailed", "ServerLost", "OutputFailed"), 0, 20),
        (("OutputFailed", "InputFailed"), 0, 20),
        (("ServerStuck",), 0, None),
        (("ServerLost",) * LOST_LIMIT, 0, None),
        ((OOM,), 0, 10),
        ((OOM, "ServerLost"), 0, None),
        (("OutOfVRAM",), 0, None),
        (("OutOfVRAM", "OutOfVRAM"), 1, None),
        (("OutOfVRAM", "OutOfVRAM", "OutOfVRAM"), 1, None),
        (("OutOfVRAM", "NodeError", "OutOfVRAM"), 1, None),
        (("Stopped",) * 9, 0, None),
    ],
)
def test_tried_again(kinds: tuple[str, ...], profile: int, seconds: int | None) -> None:
    failed = attempts(*kinds)
    verdict = after_attempts(failed, profiles=PROFILES, backoff_limit=2)
    assert isinstance(verdict, Again)
    assert verdict.profile == profile
    wait = None if seconds is None else parse_time(failed[-1].end) + timedelta(seconds=seconds)
    assert verdict.not_before == wait


@pytest.mark.parametrize(
    ("kinds", "reason", "message"),
    [
        (("Invalid",), "Invalid", "boom 0"),
        (("NodeError",) * 3, "BackoffLimitExceeded", "failed 3 times, backoffLimit is 2: boom 2"),
        ((SAME, SAME), "NodeError", "the same error twice: boom"),
        ((SAME, "ServerLost", SAME), "NodeError", "the same error twice: boom"),
        (("InputFailed",) * 3, "BackoffLimitExceeded", "failed 3 times, backoffLimit is 2: boom 2"),
        (("OutputFailed",) * 3, "BackoffLimitExceeded", "failed 3 times, backoffLimit is 2: boom 2"),
        (
            ("InputFailed", "NodeError", "OutputFailed"),
            "BackoffLimitExceeded",
            "failed 3 times, backoffLimit is 2: boom 2",
        ),
        (("ServerStuck",) * 3, "BackoffLimitExceeded", "failed 3 times, backoffLimit is 2: boom 2"),
        ((OOM,) * 3, "BackoffLimitExceeded", "failed 3 times, backoffLimit is 2: boom 2"),
        (("OutOfVRAM",) * 4, "OutOfVRAM", "out of VRAM on every profile of the job; add one with more memory: boom 3"),
        (
            ("ServerLost",) * (LOST_LIMIT + 1),
            "ServerLost",
            f"lost {LOST_LIMIT + 1} servers, which is more than chance: boom {LOST_LIMIT}",
        ),
    ],
)
def test_given_up(kinds: tuple[str, ...], reason: str, message: str) -> None:
    assert after_attempts(attempts(*kinds), profiles=PROFILES, backoff_limit=2) == GiveUp(reason, message)


@pytest.mark.parametrize("kind", ["NodeError", "InputFailed", "OutputFailed", "ServerStuck", OOM])
def test_without_a_limit_nothing_that_counts_is_tried_again(kind: str) -> None:
    assert isinstance(after_attempts(attempts(kind), profiles=PROFILES[:1], backoff_limit=0), GiveUp)


@pytest.mark.parametrize("kind", ["ServerLost", "OutOfVRAM"])
def test_without_a_limit_what_does_not_count_is_tried_again(kind: str) -> None:
    assert isinstance(after_attempts(attempts(kind), profiles=PROFILES[:1], backoff_limit=0), Again)


@pytest.mark.parametrize(
    ("kind", "server"),
    [("OutputFailed", "s1"), ("OutOfVRAM", "s1"), ("NodeError", ""), ("ServerStuck", ""), ("ServerLost", "")],
)
def test_what_was_rendered_and_what_was_freed_is_where_it_was(kind: str, server: str) -> None:
    verdict = after_attempts(attempts("ServerLost", kind), profiles=PROFILES[:1], backoff_limit=2)
    assert isinstance(verdict, Again)
    assert verdict.server == server


def test_waiting_is_bounded() -> None:
    failed = attempts(*("OutputFailed",) * 12)
    verdict = after_attempts(failed, profiles=PROFILES[:1], backoff_limit=16)
    assert isinstance(verdict, Again)
    assert verdict.not_before == parse_time(failed[-1].end) + timedelta(minutes=6)


def test_a_status_has_room_for_all_attempts() -> None:
    verdict = after_attempts(attempts(*("Stopped",) * MOST_ATTEMPTS), profiles=PROFILES[:1], backoff_limit=2)
    assert isinstance(verdict, GiveUp)
    assert verdict.reason == "TooManyAttempts"


@pytest.mark.parametrize(
    ("short", "profile"),
    [(["a100", "a100"], 2), (["a100"], 0), (["l4", "a100"], 0), (["l4", "l4"], 1), (["l4", "l4", "a100"], 1)],
)
def test_a_profile_that_was_passed_over_is_not_tried_after_one_that_was_too_small(
    short: list[str], profile: int
) -> None:
    """The first ones may have been broken: a job then goes to the next before it has run out of VRAM."""
    failed = [attempt(number, name, "OutOfVRAM") for number, name in enumerate(short)]
    verdict = after_attempts(failed, profiles=[*PROFILES, "h100"], backoff_limit=0)
    assert isinstance(verdict, Again)
    assert verdict.profile == profile
