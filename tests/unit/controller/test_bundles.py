from typing import Any

import pytest

from comfyard.api.conditions import find
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller import bundles, stores
from comfyard.controller.settings import Settings
from tests.builders import NOW, SHA, bundle

SETTINGS = Settings(image="comfyard:1")
PVC: dict[str, Any] = {"metadata": {"name": "models"}, "status": {"phase": "Bound"}}
PATH = "checkpoints/sd15.safetensors"


def plan(b: ModelBundle, claim: dict[str, Any] | None = PVC, trouble: str | None = None) -> bundles.Plan:
    return bundles.plan(b, b.status.to_api(), claim, trouble, SETTINGS, NOW)


def reported(**row: Any) -> ModelBundle:
    return bundle(
        status={
            "observedGeneration": 1,
            "claimName": "models",
            "syncedGeneration": 1,
            "models": [{"path": PATH, **row}],
        }
    )


def verdict(result: bundles.Plan) -> tuple[str, str, str]:
    after = bundle(status=result.status)
    up = [
        t for t in ("Ready", "Reconciling", "Stalled") if (c := find(after.status.conditions, t)) and c.status == "True"
    ]
    ready = find(after.status.conditions, "Ready")
    assert ready
    assert len(up) == 1
    return up[0], ready.reason, ready.message


def test_verified_files_make_it_ready_with_a_digest_of_the_content() -> None:
    result = plan(reported(state="Ready", sha256=SHA, size=10))
    assert verdict(result)[:2] == ("Ready", "Verified")
    assert result.status["digest"].startswith("sha256:")


def test_a_wrong_file_stalls_it_with_the_syncs_words() -> None:
    result = plan(reported(state="Failed", reason="DigestMismatch", message="wanted a, got b"))
    assert verdict(result) == ("Stalled", "DigestMismatch", f"{PATH}: wanted a, got b")
    assert result.status["digest"] == ""


def test_a_report_about_an_older_generation_does_not_count() -> None:
    old = reported(state="Ready", sha256=SHA)
    newer = old.model_copy(update={"metadata": old.metadata.model_copy(update={"generation": 2})})
    assert verdict(plan(newer))[:2] == ("Reconciling", "Fetching")


def test_bytes_alone_change_nothing_of_ours() -> None:
    one, two = (plan(reported(state="Fetching", bytes=b)).status for b in (1, 2))
    assert one["conditions"] == two["conditions"]


@pytest.mark.parametrize(
    ("spec", "made"),
    [
        ({"store": {}}, "comfyard-models"),
        ({"store": {"claimTemplate": {"size": "1Gi"}}}, "sd15-models"),
    ],
)
def test_a_claim_that_is_ours_to_make_is_made(spec: dict[str, Any], made: str) -> None:
    result = plan(bundle(status={"observedGeneration": -1}, **spec), claim=None)
    assert result.claim
    assert result.status["claimName"] == made


def test_a_claim_that_is_the_users_is_waited_for() -> None:
    result = plan(bundle(status={"observedGeneration": -1}), claim=None)
    assert result.claim is None
    assert verdict(result)[1] == "ClaimNotFound"


def test_a_sync_that_does_not_run_says_why() -> None:
    result = plan(bundle(status={"observedGeneration": -1}), trouble="Unschedulable: no nodes")
    assert verdict(result) == ("Reconciling", "SyncPending", "the store sync does not run: Unschedulable: no nodes")


def ended() -> dict[str, Any]:
    return {"metadata": {}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}


@pytest.mark.parametrize(
    ("found", "job", "step"),
    [
        ([reported(state="Fetching")], None, stores.Step.CREATE),
        ([reported(state="Fetching")], {"metadata": {}}, stores.Step.NOTHING),
        ([reported(state="Fetching")], ended(), stores.Step.DELETE),
        ([reported(state="Ready")], None, stores.Step.NOTHING),
        ([reported(state="Failed")], ended(), stores.Step.NOTHING),
        ([], {"metadata": {}}, stores.Step.DELETE),
        ([], {"metadata": {"deletionTimestamp": "x"}}, stores.Step.NOTHING),
    ],
)
def test_a_sync_is_there_while_there_is_something_to_do(
    found: list[ModelBundle], job: dict[str, Any] | None, step: stores.Step
) -> None:
    assert stores.plan(found, job) is step


def test_a_conflict_that_is_over_is_work_and_one_that_lasts_is_not() -> None:
    stuck = reported(state="Failed", reason="PathConflict")
    source = {"http": {"url": "http://host/y"}}
    rival = bundle("rival", models=[{"path": PATH, "source": source, "sha256": "b" * 64}])
    friend = bundle("friend", models=[{"path": PATH, "source": source, "sha256": SHA}])
    assert stores.plan([stuck, rival], None) is stores.Step.NOTHING
    assert stores.plan([stuck], None) is stores.Step.CREATE
    assert stores.plan([stuck, friend], None) is stores.Step.CREATE
