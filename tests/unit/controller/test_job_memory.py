"""What is said of a job that needs more VRAM than its profile has."""

from typing import Any

import pytest

from comfyard.api.conditions import FITS_MEMORY, find
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.model_bundle import ModelStatus
from comfyard.controller.job_memory import UNKNOWN, Fit, fit, vram
from comfyard.controller.job_observed import Observed
from comfyard.controller.job_status import waiting
from comfyard.workflow.models import graph_of
from tests.builders import NOW, SHA, bundle, job, profile, template
from tests.unit.controller.planning import assign, observed, plan

PATH = "checkpoints/sd15.safetensors"
ROW = ModelStatus(
    path=PATH, state="Ready", kind="Checkpoint", tensor_bytes=30 * 2**30, diffusion_bytes=24 * 2**30, dtype="F16"
)


def with_gpu(memory: Any, count: int = 1) -> HardwareProfile:
    return profile(gpu={"count": count, "memory": memory})


def on(memory: Any, count: int = 1, rows: dict[str, ModelStatus] | None = None) -> Fit:
    known = {PATH: ROW} if rows is None else rows
    return fit(graph_of(template().spec, {"prompt": "x", "steps": 3}), known, with_gpu(memory, count))


@pytest.mark.parametrize(
    ("memory", "count", "size"),
    [("24Gi", 1, 24 * 2**30), ("80G", 8, 80 * 10**9), (1000, 1, 1000), (None, 1, None), ("24Gi", 0, None)],
)
def test_memory_of_one_gpu(memory: Any, count: int, size: int | None) -> None:
    assert vram(with_gpu(memory, count)) == size


def test_the_message_names_the_files_the_profile_both_figures_and_the_fix() -> None:
    assert on("24Gi") == Fit(
        fits=False,
        message=f"sampling with {PATH} needs about 25.2Gi of VRAM (24.0Gi of weights), and a GPU of profile l4 has "
        "24.0Gi (spec.gpu.memory): ComfyUI copies weights from main memory at every step, which is slow; order with a "
        "larger profile first in spec.profiles, or with a smaller variant of the file, such as fp8",
    )


def test_where_it_fits_and_where_nobody_can_tell() -> None:
    assert on("26Gi") == Fit(fits=True)
    assert [on(None), on("1Gi", count=0), on("1Gi", rows={})] == [UNKNOWN] * 3


def around(*memories: Any) -> Observed:
    """A job's surroundings: profiles with so much VRAM, the first of which is too small."""
    rows = {"models": [ROW.model_copy(update={"sha256": SHA}).to_api()]}
    synced = bundle().status.to_api() | rows
    profiles = {f"p{i}": profile(f"p{i}", gpu={"count": 1, "memory": each}) for i, each in enumerate(memories)}
    return observed(template=template(), bundles={"sd15": bundle(status=synced)}, profiles=profiles)


def told(status: dict[str, Any]) -> tuple[str, str] | None:
    """Status and reason of the condition."""
    found = find(job(status).status.conditions, FITS_MEMORY)
    return (found.status, found.reason) if found else None


def test_a_job_that_is_too_large_runs_and_says_so_while_it_waits_and_when_it_is_assigned() -> None:
    order, seen = job(profiles=["p0"]), around("24Gi")
    result = plan(order, seen)
    assert result.demand
    queued = waiting(order, result.status, "Queued", "WaitingForServer", "no server yet", NOW)
    given = assign(order, seen)
    assert [told(each) for each in (queued, given)] == [("False", "VRAMTooSmall")] * 2
    assert (queued["message"], given["state"]) == ("no server yet", "Assigned")
    assert plan(job(queued, profiles=["p0"]), seen).status == queued


def test_a_job_that_fits_has_no_such_condition() -> None:
    assert told(assign(job(profiles=["p0"]), around("80Gi"))) is None
    assert told(assign(job(profiles=["p0"]), around(None))) is None


@pytest.mark.parametrize(("memory", "after"), [("80Gi", ("True", "Fits")), (None, ("Unknown", "Unknown"))])
def test_on_the_next_profile_it_is_judged_anew(memory: Any, after: tuple[str, str]) -> None:
    profiles = ["p0", "p1"]
    seen = around("24Gi", memory)
    first = assign(job(profiles=profiles), seen)
    assert told(first) == ("False", "VRAMTooSmall")
    out = {"server": "s", "profile": "p0", "outcome": "Failed", "class": "OutOfVRAM", "start": "2026-01-02T03:04:00Z"}
    attempts = [{**out, "id": each, "end": "2026-01-02T03:04:01Z"} for each in ("a", "b")]
    back = {key: value for key, value in first.items() if key != "assignment"} | {"attempts": attempts}
    order = job(back, profiles=profiles)
    assert told(assign(order, seen)) == after
