from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.model_bundle import ModelBundleStatus
from comfyard.store.download import Progress
from comfyard.store.errors import DigestMismatchError, RateLimitedError
from comfyard.store.fetcher import Step
from comfyard.store.wants import Stored, Want
from comfyard.sync.report import (
    AT_ONCE_SECONDS,
    Speed,
    all_settled,
    fields_in,
    fields_of,
    states_of,
    wait_before_write,
)
from comfyard.sync.states import FileState, failed, going_on, in_place
from comfyard.sync.wanted import Wanted, wanted_by
from tests.unit.sync.test_wanted import A, B, bundle, model

READY = in_place(Stored(A, 100), None)
FETCHING = FileState("Fetching", size=100, bytes=40, received=40)


def test_steps_become_states() -> None:
    assert going_on(Step("Waiting", Progress(0, None, 0))) == FileState()
    assert going_on(Step("Fetching", Progress(40, 100, 10), 10)) == FileState(
        "Fetching", size=100, bytes=40, received=10
    )
    verifying = going_on(Step("Verifying", Progress(40, 100, 0)))
    assert (verifying.state, verifying.reason, verifying.bytes) == ("Pending", "Verifying", 0)
    waiting = going_on(Step("Waiting", Progress(40, 100, 0), 40, RateLimitedError("h asks to wait"), 8.2))
    assert (waiting.state, waiting.reason, waiting.bytes) == ("Pending", "RateLimited", 40)
    assert waiting.message == "h asks to wait; next try in 8 s"
    assert not waiting.settled


def test_ends_are_settled() -> None:
    assert in_place(Stored(A, 100), FETCHING) == FileState("Ready", sha256=A, size=100, bytes=100, received=40)
    wrong = failed(DigestMismatchError(A, B), FETCHING)
    assert (wrong.state, wrong.reason, wrong.settled, wrong.bytes) == ("Failed", "DigestMismatch", True, 0)


def test_a_long_message_fits_its_field() -> None:
    assert len(FileState("Failed", "X", "y" * 5000).row("loras/x").message) == 1024


def test_nothing_is_told_before_every_file_was_looked_at() -> None:
    one = bundle("one", model(A), model(B, path="loras/y"))
    wanted = wanted_by([one])
    first, second = wanted.files.values()

    def looked_at(*wants: Want) -> Callable[[Want], FileState | None]:
        return lambda want: READY if want in wants else None

    assert states_of(one, wanted, looked_at(first)) is None
    assert not all_settled(None)
    states = states_of(one, wanted, looked_at(first, second))
    assert states == [("checkpoints/x.safetensors", READY), ("loras/y", READY)]
    assert all_settled(states)


def test_a_conflict_is_a_failure_of_both() -> None:
    one, two = bundle("one", model(A)), bundle("two", model(B))
    wanted = wanted_by([one, two])
    for each in (one, two):
        states = states_of(each, wanted, lambda _: None)
        assert states is not None
        assert [(state.state, state.reason) for _, state in states] == [("Failed", "PathConflict")]


def test_fields() -> None:
    states = [("loras/a", READY), ("loras/b", FETCHING), ("loras/c", FileState("Failed", "NotFound", "gone", size=7))]
    fields = fields_of(3, states, 20)
    assert fields["syncedGeneration"] == 3
    assert fields["files"] == {"total": 3, "ready": 1}
    assert fields["bytes"] == {"total": 200, "ready": 140}
    assert (fields["bytesPerSecond"], fields["etaSeconds"]) == (20, 3)
    assert fields["models"][2] == {
        "path": "loras/c",
        "state": "Failed",
        "size": 7,
        "bytes": 0,
        "reason": "NotFound",
        "message": "gone",
    }
    assert fields_of(3, [("loras/a", READY)], 20)["bytesPerSecond"] == 0


@pytest.mark.parametrize(
    ("states", "speed"), [([FETCHING], 0), ([FETCHING, FileState()], 20), ([READY], 20), ([FileState()], 20)]
)
def test_no_eta_that_would_be_a_guess(states: list[FileState], speed: int) -> None:
    assert fields_of(1, [(f"loras/{n}", state) for n, state in enumerate(states)], speed)["etaSeconds"] is None


@given(st.lists(st.sampled_from([READY, FETCHING, FileState(), failed(DigestMismatchError(A, B))]), max_size=4))
def test_what_was_written_is_recognized(states: list[FileState]) -> None:
    fields = fields_of(2, [(f"loras/{n}", state) for n, state in enumerate(states)], 10)
    stored = {key: value for key, value in fields.items() if value is not None}
    again = fields_in(ModelBundleStatus.model_validate({**stored, "claimName": "models", "digest": "d"}))
    assert again == fields
    assert wait_before_write(again, fields, 0, 2) is None


def fields(state: FileState, speed: int = 0, generation: int = 1) -> dict[str, Any]:
    return fields_of(generation, [("loras/a", state)], speed)


@pytest.mark.parametrize(
    ("now", "since", "wait"),
    [
        (fields(FETCHING), 0, None),
        (fields(FileState("Fetching", size=100, bytes=50), 5), 0.5, 1.5),
        (fields(FileState("Fetching", size=100, bytes=50), 5), 9, 0),
        (fields(READY), 0, AT_ONCE_SECONDS),
        (fields(READY), 1, 0),
        (fields(FETCHING, generation=2), 1, 0),
        (fields(FileState("Fetching", "Unreachable", size=100, bytes=40)), 1, 0),
    ],
)
def test_when_a_write_is_due(now: dict[str, Any], since: float, wait: float | None) -> None:
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


def test_nothing_wanted_is_settled() -> None:
    assert wanted_by([]) == Wanted()
    assert all_settled([])
