from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.model_bundle import ModelBundleStatus
from comfyard.store.errors import DigestMismatchError
from comfyard.sync.report import AT_ONCE_SECONDS, Fields, Speed, fields_in, fields_of, wait_before_write
from comfyard.sync.states import FileState, NodeState, failed, in_place
from comfyard.sync.told import Told
from comfyard.sync.wanted import InPlace
from tests.unit.sync.bundles import NOW, A, B, stored

READY = in_place(stored(), None)
FETCHING = FileState("Fetching", size=100, bytes=40, received=40)
LEAVING = FileState(reason="InUse", message="jobs run with it", sha256=B)
FULL = FileState("Failed", "NoSpace", "60 MB are missing", size=7)


def told(*states: FileState) -> Told:
    return Told(tuple((f"loras/{number}", state) for number, state in enumerate(states)))


def fields(*states: FileState, speed: int = 0, generation: int = 1, there: InPlace | None = None) -> Fields:
    speeds = {f"loras/{number}": speed for number in range(len(states))}
    return fields_of(generation, told(*states), speeds, there or InPlace())


def test_fields() -> None:
    both = fields(READY, FETCHING, FileState("Failed", "NotFound", "gone", size=9), FULL, generation=3, speed=20)
    assert both["syncedGeneration"] == 3
    assert both["files"] == {"total": 4, "ready": 1}
    assert both["bytes"] == {"total": 207, "ready": 140}
    assert (both["bytesPerSecond"], both["etaSeconds"]) == (20, 4)
    assert [row["bytesPerSecond"] for row in both["models"]] == [0, 20, 0, 0]
    assert [row.get("etaSeconds") for row in both["models"]] == [None, 3, None, None]
    assert both["models"][2] == {
        "path": "loras/2",
        "state": "Failed",
        "size": 9,
        "bytes": 0,
        "bytesPerSecond": 0,
        "reason": "NotFound",
        "message": "gone",
    }


def test_what_leaves_is_remembered_and_not_counted() -> None:
    both = fields_of(1, Told((("loras/a", READY),), (("loras/b", LEAVING),)), {}, InPlace())
    assert both["files"] == {"total": 1, "ready": 1}
    assert [(row["path"], row["reason"], row.get("sha256")) for row in both["models"]] == [
        ("loras/a", "", A),
        ("loras/b", "InUse", B),
    ]


def test_what_is_in_place_is_remembered_while_something_else_comes() -> None:
    there = InPlace({"loras/0": B, "loras/1": B})
    assert [row["sha256"] for row in fields(FETCHING, READY, there=there)["models"]] == [B, A]


def test_custom_nodes() -> None:
    state = NodeState("Ready", tree="f" * 40)
    assert fields_of(1, Told(nodes=(("pack", "1" * 40, state),)), {}, InPlace())["customNodes"] == [
        {"name": "pack", "state": "Ready", "commit": "1" * 40, "tree": "f" * 40, "reason": "", "message": ""}
    ]


def test_the_file_that_was_read_longest_ago_tells_when_all_were_read() -> None:
    older = in_place(stored(verified=NOW - timedelta(days=1)), None)
    assert fields(READY, older)["verifiedTime"] == "2026-01-01T03:04:05Z"
    assert fields(READY, older, FETCHING)["verifiedTime"] is None
    assert fields()["verifiedTime"] is None


@pytest.mark.parametrize(
    ("states", "speed"), [([FETCHING], 0), ([FETCHING, FileState()], 20), ([READY], 20), ([FileState()], 20)]
)
def test_no_eta_that_would_be_a_guess(states: list[FileState], speed: int) -> None:
    assert fields(*states, speed=speed)["etaSeconds"] is None


@given(st.lists(st.sampled_from([READY, FETCHING, FULL, FileState(), failed(DigestMismatchError(A, B))]), max_size=4))
def test_what_was_written_is_recognized(states: list[FileState]) -> None:
    nodes = (("pack", "1" * 40, NodeState()),)
    now = fields_of(2, Told(told(*states).files, nodes=nodes), {"loras/0": 10}, InPlace())
    in_api = {key: value for key, value in now.items() if value is not None}
    again = fields_in(ModelBundleStatus.model_validate({**in_api, "claimName": "models", "digest": "d"}))
    assert again == now
    assert wait_before_write(again, now, 0, 2) is None


@pytest.mark.parametrize(
    ("now", "since", "wait"),
    [
        (fields(FETCHING), 0, None),
        (fields(FileState("Fetching", size=100, bytes=50), speed=5), 0.5, 1.5),
        (fields(FileState("Fetching", size=100, bytes=50), speed=5), 9, 0),
        (fields(READY), 0, AT_ONCE_SECONDS),
        (fields(READY), 1, 0),
        (fields(FETCHING, generation=2), 1, 0),
        (fields(FileState("Fetching", "Unreachable", size=100, bytes=40)), 1, 0),
    ],
)
def test_when_a_write_is_due(now: Fields, since: float, wait: float | None) -> None:
    assert wait_before_write(fields(FETCHING), now, since, 2) == wait


def test_speed() -> None:
    speed = Speed(window=10)
    assert speed.sample(0, 0) == 0
    assert speed.sample(1, 100) == 100
    assert speed.sample(2, 300) == 150
    assert speed.sample(11, 1200) == 110
    assert speed.sample(12, 50) == 0
    assert speed.sample(14, 250) == 100
    assert speed.sample(100, 250) == 0
