from dataclasses import replace

from comfyard.store.contents.kinds import Weights
from comfyard.store.errors import DigestMismatchError, NoSpaceError, RateLimitedError, VolumeError
from comfyard.store.fetcher import Step
from comfyard.store.transfer.download import Progress
from comfyard.sync.states import FileState, NodeState, corrupted, failed, going_on, in_place, suspended
from tests.unit.sync.bundles import NOW, WEIGHTS, A, B, stored

FETCHING = FileState("Fetching", size=100, bytes=40, received=40)


def test_steps_become_states() -> None:
    assert going_on(Step("Waiting", Progress(0, None, 0))) == FileState()
    assert going_on(Step("Waiting", Progress(0, 100, 0))) == FileState(size=100)
    assert going_on(Step("Fetching", Progress(40, 100, 10), 10)) == FileState(
        "Fetching", size=100, bytes=40, received=10
    )
    verifying = going_on(Step("Verifying", Progress(40, 100, 0)))
    assert (verifying.state, verifying.reason, verifying.bytes) == ("Pending", "Verifying", 0)
    waiting = going_on(Step("Waiting", Progress(40, 100, 0), 40, RateLimitedError("h asks to wait"), 8.2))
    assert (waiting.state, waiting.reason, waiting.bytes) == ("Pending", "RateLimited", 40)
    assert waiting.message == "h asks to wait; next try in 8 s"


def test_a_full_volume_is_a_failure_that_may_end_by_itself() -> None:
    full = going_on(Step("Waiting", Progress(40, 100, 0), 40, NoSpaceError("60 MB are missing"), 5))
    assert (full.state, full.reason, full.message, full.bytes) == ("Failed", "NoSpace", "60 MB are missing", 40)
    assert not full.settled
    assert not full.busy
    assert not NodeState("Failed", "NoSpace").settled


def test_what_is_settled_and_what_is_busy() -> None:
    ready = in_place(stored(), FETCHING)
    assert ready == FileState("Ready", sha256=A, size=100, bytes=100, received=40, verified=NOW, weights=WEIGHTS)
    wrong = failed(DigestMismatchError(A, B), FETCHING)
    assert (wrong.state, wrong.reason, wrong.bytes) == ("Failed", "DigestMismatch", 0)
    paused = suspended(FETCHING)
    assert (paused.state, paused.reason, paused.size, paused.bytes) == ("Pending", "Suspended", 100, 40)
    assert suspended(ready).bytes == 0
    waiting = going_on(Step("Waiting", Progress(0, None, 0), 0, VolumeError("it does not read"), 8))
    states = [ready, wrong, paused, waiting, FETCHING, FileState(), corrupted(FileState())]
    assert [state.settled for state in states] == [True, True, True, False, False, False, False]
    assert [state.busy for state in states] == [False, False, False, False, True, True, True]


def test_what_was_corrupted_is_said_to_be_until_it_is_whole_or_something_else_is_wrong() -> None:
    assert corrupted(FETCHING).reason == "Corrupted"
    assert corrupted(FileState(reason="Verifying")).reason == "Verifying"
    assert corrupted(FileState(reason="Unreachable")).reason == "Unreachable"
    assert corrupted(in_place(stored(), None)).reason == ""


def test_what_a_file_is_is_said_of_what_is_there() -> None:
    row = in_place(stored(), FETCHING).row("checkpoints/x")
    assert (row.kind, row.tensor_bytes, row.diffusion_bytes, row.dtype) == ("Checkpoint", 90, 60, "F16")
    for state in (FETCHING, suspended(in_place(stored(), None)), failed(DigestMismatchError(A, B), FETCHING)):
        assert not {"kind", "tensorBytes", "diffusionBytes", "dtype"} & state.row("checkpoints/x").to_api().keys()
    unknown = in_place(replace(stored(), weights=Weights()), None).row("upscale_models/x.pth").to_api()
    assert (unknown["kind"], "tensorBytes" in unknown, "dtype" in unknown) == ("Unknown", False, False)


def test_a_long_message_fits_its_field() -> None:
    assert len(FileState("Failed", "X", "y" * 5000).row("loras/x").message) == 1024
    assert len(NodeState("Failed", "X", "y" * 5000).row("x", "c" * 40).message) == 1024
