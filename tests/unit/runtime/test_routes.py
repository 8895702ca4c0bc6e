"""Which keys a change touches, and which changes touch none of the thousands of jobs that wait."""

from typing import Any

import pytest

from comfyard.kube.kinds import (
    GENERATION_JOB,
    HARDWARE_PROFILE,
    MODEL_BUNDLE,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    WORKFLOW_TEMPLATE,
    Kind,
)
from comfyard.runtime.cache import Change
from comfyard.runtime.job_routes import is_pressing, is_seen_by_jobs
from tests.builders import meta, ready

ASSIGNED = {"assignment": {"id": "1", "server": "s", "time": "2026-01-02T03:04:00Z"}}


def change(kind: Kind, before: dict[str, Any] | None, after: dict[str, Any] | None) -> Change:
    return Change(kind, ("studio", "x"), before, after)


def bundle(row: dict[str, Any] | None = None, message: str = "", **status: Any) -> dict[str, Any]:
    rows = [{"path": "checkpoints/x", "state": "Fetching", "bytes": 1, **(row or {})}]
    conditions = [{**ready("Fetching")[0], "status": "False", "message": message}]
    whole = {"observedGeneration": 1, "claimName": "models", "models": rows, "conditions": conditions, **status}
    return {"metadata": meta("x"), "spec": {"models": []}, "status": whole}


@pytest.mark.parametrize(
    ("after", "seen"),
    [
        (bundle({"bytes": 2}, "1 of 3 MB", inUse=True, bytes={"total": 3}, etaSeconds=5, files={"ready": 0}), False),
        (bundle({"state": "Ready", "sha256": "a" * 64}), True),
        (bundle(conditions=ready()), True),
        (bundle(claimName="other"), True),
        ({**bundle(), "spec": {"models": [], "suspend": True}}, True),
        (None, True),
    ],
)
def test_what_jobs_see_of_a_bundle(after: dict[str, Any] | None, seen: bool) -> None:  # noqa: FBT001 - pytest gives it
    assert is_seen_by_jobs(change(MODEL_BUNDLE, bundle(), after)) is seen
    assert is_seen_by_jobs(change(MODEL_BUNDLE, None, bundle()))


def test_jobs_see_of_a_profile_what_it_wants_and_not_what_is_counted() -> None:
    profile = {"metadata": meta("x"), "spec": {"gpu": {"count": 1}}, "status": {"queued": 1}}
    counted = {**profile, "status": {"queued": 2, "servers": {"busy": 1}}}
    assert not is_seen_by_jobs(change(HARDWARE_PROFILE, profile, counted))
    assert is_seen_by_jobs(change(HARDWARE_PROFILE, profile, {**counted, "spec": {"gpu": {"count": 2}}}))


def test_jobs_see_of_a_template_what_they_are_accepted_with() -> None:
    status = {"observedGeneration": 1, "revision": "t-1", "digest": "d", "conditions": ready()}
    template = {"metadata": meta("x"), "spec": {"graph": {}}, "status": status}
    same = {**template, "status": {**status, "parameterSchema": {}}}
    assert not is_seen_by_jobs(change(WORKFLOW_TEMPLATE, template, same))
    newer = {**template, "status": {**status, "revision": "t-2"}}
    assert is_seen_by_jobs(change(WORKFLOW_TEMPLATE, template, newer))


def test_jobs_see_that_a_claim_is_there_and_not_that_it_is_bound() -> None:
    claim = {"metadata": meta("x"), "spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Pending"}}
    assert not is_seen_by_jobs(change(PERSISTENT_VOLUME_CLAIM, claim, {**claim, "status": {"phase": "Bound"}}))
    assert is_seen_by_jobs(change(PERSISTENT_VOLUME_CLAIM, claim, None))


def test_jobs_see_labels_and_annotations_of_their_namespace() -> None:
    namespace = {"metadata": {"name": "x", "resourceVersion": "1"}}
    labelled = {"metadata": {"name": "x", "resourceVersion": "2", "labels": {"team": "a"}}}
    assert not is_seen_by_jobs(change(NAMESPACE, namespace, {"metadata": {"name": "x", "resourceVersion": "2"}}))
    assert is_seen_by_jobs(change(NAMESPACE, namespace, labelled))


def test_a_job_that_has_or_had_a_server_presses() -> None:
    waiting = {"metadata": meta("x"), "status": {}}
    running = {"metadata": meta("x"), "status": ASSIGNED}
    assert not is_pressing(change(GENERATION_JOB, None, waiting))
    assert is_pressing(change(GENERATION_JOB, waiting, running))
    assert is_pressing(change(GENERATION_JOB, running, waiting))
    assert is_pressing(change(GENERATION_JOB, running, None))
