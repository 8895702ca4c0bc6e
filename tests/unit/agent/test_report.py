"""The writes of an agent, as JSON patches."""

from datetime import timedelta
from typing import Any

import pytest

from comfyard.agent.report import (
    Ended,
    complete_patch,
    failure_patch,
    overall,
    progress_patch,
    rendering_message,
    stored_message,
)
from comfyard.agent.reporter import AssignmentLostError, try_write
from comfyard.api.generation_job import (
    Assignment,
    GenerationJob,
    Progress,
    Receipt,
    ReceiptInput,
    ReceiptServer,
    Result,
)
from comfyard.kube.client import LightkubeClient
from comfyard.kube.errors import InvalidError
from comfyard.kube.kinds import GENERATION_JOB
from tests.builders import NOW, SHA, job

ASSIGNMENT = Assignment(id="one", server="s-1", profile="l4", time="2026-01-02T03:04:05Z")
LATER = NOW + timedelta(seconds=30)
RECEIPT = Receipt(
    template="sha256:t",
    graph="sha256:g",
    inputs=[ReceiptInput(parameter="photo", sha256=SHA, bytes=3)],
    server=ReceiptServer(image="comfyui@sha256:1", comfyui="0.3.64", gpu="cuda:0 L4"),
    outputs_reused=True,
)
ENDED = Ended("NodeError", "node 3 (KSampler): ValueError: no")


def result(index: int = 0, content_type: str = "image/png") -> Result:
    uri = f"claim://results/studio/lighthouse-3c8f8a54/image-{index:03}.png"
    return Result(name="image", index=index, uri=uri, sha256=SHA, bytes=10, content_type=content_type)


def assigned(**status: Any) -> GenerationJob:
    return job({"observedGeneration": 1, "assignment": ASSIGNMENT.to_api(), **status})


def changes(patch: list[Any]) -> dict[str, Any]:
    """Path under status to its new value, None for what is removed."""
    return {op["path"].removeprefix("/status/"): op.get("value") for op in patch if op["op"] != "test"}


@pytest.mark.parametrize(
    "patch",
    [
        progress_patch(ASSIGNMENT, Progress(), "m"),
        complete_patch(assigned(), ASSIGNMENT, [result()], 1, LATER, receipt=RECEIPT),
        failure_patch(assigned(), ASSIGNMENT, ENDED, [], 1, LATER),
    ],
)
def test_every_write_begins_with_the_fence(patch: list[Any]) -> None:
    assert patch[0] == {"op": "test", "path": "/status/assignment/id", "value": "one"}
    assert [op["op"] for op in patch].count("test") == 1


def test_the_receipt_of_the_operator_is_completed_field_by_field() -> None:
    before = {"template": "sha256:t", "models": [{"path": "vae/a.safetensors", "sha256": SHA}]}
    patch = complete_patch(assigned(receipt=before), ASSIGNMENT, [result()], 1, LATER, receipt=RECEIPT)
    assert {path: value for path, value in changes(patch).items() if path.startswith("receipt")} == {
        "receipt/graph": "sha256:g",
        "receipt/inputs": [{"parameter": "photo", "sha256": SHA, "bytes": 3}],
        "receipt/server": {"image": "comfyui@sha256:1", "comfyui": "0.3.64", "gpu": "cuda:0 L4"},
        "receipt/outputsReused": True,
    }


def test_without_one_of_the_operator_the_receipt_is_ours() -> None:
    found = changes(complete_patch(assigned(), ASSIGNMENT, [result()], 1, LATER, receipt=RECEIPT))
    assert found["receipt"]["template"] == "sha256:t"


def test_progress_leaves_the_conditions_alone() -> None:
    patch = progress_patch(ASSIGNMENT, Progress(percent=35, node="KSampler", step=7, steps=20), "rendering")
    assert changes(patch) == {
        "state": "Running",
        "message": "rendering",
        "progress": {"percent": 35, "node": "KSampler", "step": 7, "steps": 20},
    }


def test_the_end_is_told_in_conditions_and_words() -> None:
    found = changes(complete_patch(assigned(), ASSIGNMENT, [result()], 1, LATER, receipt=RECEIPT))
    assert (found["state"], found["completionTime"]) == ("Complete", "2026-01-02T03:04:35Z")
    assert {c["type"]: (c["status"], c["reason"]) for c in found["conditions"]} == {
        "Complete": ("True", "Complete"),
        "Ready": ("True", "Complete"),
        "Reconciling": ("False", "Complete"),
        "Stalled": ("False", "Complete"),
    }
    assert found["message"] == "1 image stored in claim://results/studio/lighthouse-3c8f8a54"


def test_the_end_ends_the_assignment() -> None:
    found = changes(complete_patch(assigned(), ASSIGNMENT, [result()], 2, LATER, receipt=RECEIPT))
    assert found["assignment"] is None
    assert [(a["id"], a["outcome"]) for a in found["attempts"]] == [("one", "Succeeded")]
    assert found["usage"] == {"gpuSeconds": 60, "queuedSeconds": 0}


def test_earlier_attempts_and_their_cost_stay() -> None:
    before = {"id": "zero", "server": "s-0", "start": "a", "end": "b", "outcome": "Failed", "class": "ServerLost"}
    status = {"attempts": [before], "usage": {"gpuSeconds": 5, "queuedSeconds": 2}}
    found = changes(complete_patch(assigned(**status), ASSIGNMENT, [result()], 1, LATER, receipt=RECEIPT))
    assert [a["id"] for a in found["attempts"]] == ["zero", "one"]
    assert found["usage"] == {"gpuSeconds": 35, "queuedSeconds": 2}


def test_a_failure_leaves_the_decision_to_the_operator() -> None:
    found = changes(failure_patch(assigned(), ASSIGNMENT, ENDED, [], 1, LATER))
    assert set(found) == {"message", "attempts", "usage", "assignment", "progress"}
    assert (found["assignment"], found["progress"]) == (None, None)
    assert (found["attempts"][0]["class"], found["attempts"][0]["message"]) == ("NodeError", ENDED.message)


def test_a_long_message_fits_into_the_status() -> None:
    found = changes(failure_patch(assigned(), ASSIGNMENT, Ended("NodeError", "x" * 9000), [], 1, LATER))
    assert found["message"] == found["attempts"][0]["message"] == "x" * 1000


def test_a_failure_keeps_what_is_complete() -> None:
    found = changes(failure_patch(assigned(), ASSIGNMENT, ENDED, [result(1)], 1, LATER))
    assert [r["index"] for r in found["outputs"]] == [1]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([result()], "1 image stored in claim://results/studio/lighthouse-3c8f8a54"),
        ([result(0), result(1)], "2 images stored in claim://results/studio/lighthouse-3c8f8a54"),
        ([result(0), result(1, "video/mp4")], "2 files stored in claim://results/studio/lighthouse-3c8f8a54"),
    ],
)
def test_a_person_reads_how_much_is_where(results: list[Result], message: str) -> None:
    assert stored_message(results) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("KSampler", 7, 20), "rendering 1 of 2 on s-1: KSampler step 7 of 20"),
        (("VAEDecode", 0, 1), "rendering 1 of 2 on s-1: VAEDecode"),
        (("", 0, 0), "rendering 1 of 2 on s-1"),
    ],
)
def test_a_person_reads_what_happens(arguments: tuple[str, int, int], message: str) -> None:
    assert rendering_message("s-1", 1, 2, *arguments) == message


@pytest.mark.parametrize(("done", "fraction", "percent"), [(0, 0.0, 0), (0, 0.5, 12), (3, 0.999, 99), (4, 0.0, 100)])
def test_percents_are_of_all_indexes(done: int, fraction: float, percent: int) -> None:
    assert overall(job(count=4), done, fraction) == percent


@pytest.mark.api
async def test_the_api_server_takes_both_ends(kube: LightkubeClient, namespace: str) -> None:
    for name in ("completed", "failed"):
        written = await assign(kube, namespace, name)
        patch = (
            complete_patch(written, ASSIGNMENT, [result()], 1, LATER, receipt=RECEIPT)
            if name == "completed"
            else failure_patch(written, ASSIGNMENT, ENDED, [], 1, LATER)
        )
        await try_write(kube, written, patch)
        after = GenerationJob.model_validate(await kube.get(GENERATION_JOB, name, namespace))
        assert (after.status.assignment, len(after.status.attempts)) == (None, 1)


@pytest.mark.api
async def test_nothing_is_written_once_the_assignment_is_removed(kube: LightkubeClient, namespace: str) -> None:
    written = await assign(kube, namespace, "a")
    await kube.patch_status(GENERATION_JOB, "a", namespace, {"assignment": None})
    with pytest.raises(AssignmentLostError):
        await try_write(kube, written, progress_patch(ASSIGNMENT, Progress(), "too late"))


@pytest.mark.api
async def test_nothing_is_written_to_a_deleted_job(kube: LightkubeClient, namespace: str) -> None:
    written = await assign(kube, namespace, "a")
    await kube.delete(GENERATION_JOB, "a", namespace)
    with pytest.raises(AssignmentLostError):
        await try_write(kube, written, progress_patch(ASSIGNMENT, Progress(), "too late"))


@pytest.mark.api
async def test_a_status_against_the_schema_is_no_lost_assignment(kube: LightkubeClient, namespace: str) -> None:
    written = await assign(kube, namespace, "a")
    with pytest.raises(InvalidError):
        await try_write(kube, written, progress_patch(ASSIGNMENT, Progress(), "x" * 5000))


async def assign(kube: LightkubeClient, namespace: str, name: str) -> GenerationJob:
    meta = {"name": name, "namespace": namespace}
    await kube.create(GENERATION_JOB, {"metadata": meta, "spec": {"template": {"name": "t"}, "profiles": ["l4"]}})
    status = {"assignment": ASSIGNMENT.to_api()}
    return GenerationJob.model_validate(await kube.patch_status(GENERATION_JOB, name, namespace, status))
