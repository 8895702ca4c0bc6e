import pytest

from comfyard.api.generation_job import Attempt
from comfyard.controller.retry import LOST_LIMIT, Again, GiveUp, after_attempts


def attempts(*classes: str, message: str = "boom") -> list[Attempt]:
    return [
        Attempt.model_validate(
            {
                "id": str(i),
                "server": "s",
                "start": "2026-01-02T03:04:00Z",
                "end": "2026-01-02T03:04:05Z",
                "outcome": "Failed",
                "class": kind,
                "message": f"{message} {i}" if kind != "Same" else message,
            }
            | ({"class": "NodeError"} if kind == "Same" else {})
        )
        for i, kind in enumerate(classes)
    ]


@pytest.mark.parametrize(
    ("classes", "profile", "seconds"),
    [
        ((), 0, None),
        (("NodeError",), 0, 10),
        (("NodeError", "NodeError"), 0, 20),
        (("ServerLost",) * 5, 0, None),
        (("ServerStuck",), 0, None),
        (("OutOfVRAM",), 0, None),
        (("OutOfVRAM", "OutOfVRAM"), 1, None),
        (("OutOfVRAM", "OutOfVRAM", "OutOfVRAM"), 1, None),
        (("OutputFailed", "ServerLost", "OutputFailed"), 0, 20),
    ],
)
def test_tried_again(classes: tuple[str, ...], profile: int, seconds: int | None) -> None:
    verdict = after_attempts(attempts(*classes), profiles=2, backoff_limit=2)
    assert isinstance(verdict, Again)
    assert verdict.profile == profile
    wait = verdict.not_before and (verdict.not_before.minute - 4) * 60 + verdict.not_before.second - 5
    assert wait == seconds


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (("Invalid",), "Invalid"),
        (("NodeError",) * 3, "BackoffLimitExceeded"),
        (("Same", "Same"), "NodeError"),
        (("ServerStuck",) * 3, "BackoffLimitExceeded"),
        (("OutOfVRAM",) * 4, "OutOfVRAM"),
        (("ServerLost",) * (LOST_LIMIT + 1), "ServerLost"),
    ],
)
def test_given_up(classes: tuple[str, ...], reason: str) -> None:
    verdict = after_attempts(attempts(*classes), profiles=2, backoff_limit=2)
    assert isinstance(verdict, GiveUp)
    assert verdict.reason == reason
