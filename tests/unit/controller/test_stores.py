from datetime import timedelta
from typing import Any

import pytest

from comfyard.api.conditions import timestamp
from comfyard.api.meta import FINALIZER_STORE
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller import stores
from comfyard.controller.resources.sync_job import build_sync_job
from comfyard.controller.settings import Settings
from comfyard.controller.stores import Step
from comfyard.controller.trouble import Trouble
from comfyard.controller.volumes import Volumes
from comfyard.kube.kinds import Obj
from tests.builders import NOW, SHA, bundle

SETTINGS = Settings(image="comfyard:1")
PATH = "checkpoints/sd15.safetensors"
PVC: dict[str, Any] = {"metadata": {"name": "models"}, "status": {"phase": "Bound"}}
GOES = {"deletionTimestamp": "2026-01-02T03:04:05Z", "generation": 2}


def reported(metadata: dict[str, Any] | None = None, **row: Any) -> ModelBundle:
    generation = (metadata or {}).get("generation", 1)
    status = {"observedGeneration": generation, "claimName": "models", "syncedGeneration": 1}
    return bundle(status={**status, "models": [{"path": PATH, **row}]}, metadata=metadata)


def job(*sources: str, ended: bool = False, age: timedelta = timedelta(0)) -> Obj:
    made = build_sync_job("models", "studio", sources, SETTINGS, Volumes())
    made["metadata"]["creationTimestamp"] = timestamp(NOW - age)
    if ended:
        made["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    return made


def plan(*found: ModelBundle, job: Obj | None = None, claim: Obj | None = PVC, bound: str = "") -> stores.Plan:
    return stores.plan(claim, found, job, bound.split(), NOW)


@pytest.mark.parametrize(
    ("found", "running", "step"),
    [
        ([reported(state="Fetching")], None, Step.CREATE),
        ([reported(state="Fetching")], job(), Step.NOTHING),
        ([reported(state="Fetching")], job(ended=True), Step.DELETE),
        ([reported(state="Ready")], None, Step.NOTHING),
        ([reported(state="Ready")], job(), Step.NOTHING),
        ([reported(state="Failed")], job(ended=True), Step.NOTHING),
        ([], job(), Step.DELETE),
        ([], {"metadata": {"deletionTimestamp": "x"}}, Step.NOTHING),
    ],
)
def test_a_sync_is_there_while_there_is_something_to_do(
    found: list[ModelBundle], running: Obj | None, step: Step
) -> None:
    assert plan(*found, job=running).step is step


def test_what_the_operator_has_not_observed_is_no_work_yet() -> None:
    unseen = bundle(status={"observedGeneration": 0, "claimName": "models"})
    assert plan(unseen).step is Step.NOTHING


@pytest.mark.parametrize("claim", [None, {"metadata": {"name": "models", "deletionTimestamp": "x"}}])
def test_without_a_claim_there_is_no_sync(claim: Obj | None) -> None:
    assert plan(reported(state="Fetching"), claim=claim).step is Step.NOTHING
    assert plan(reported(state="Fetching"), claim=claim, job=job()).step is Step.DELETE


def test_a_bundle_that_goes_with_its_files_is_work_until_they_are_gone() -> None:
    ours = {**GOES, "finalizers": [FINALIZER_STORE]}
    assert plan(reported(ours, state="Ready")).step is Step.CREATE
    gone = bundle(metadata=ours, status={"observedGeneration": 2, "syncedGeneration": 2, "claimName": "models"})
    assert plan(gone).step is Step.NOTHING
    assert plan(reported({**GOES, "finalizers": ["other/one"]}, state="Ready")).step is Step.NOTHING


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        ("Unauthorized", Step.CREATE),
        ("NoSpace", Step.CREATE),
        ("DigestMismatch", Step.NOTHING),
        ("PickleRefused", Step.NOTHING),
    ],
)
def test_what_may_heal_elsewhere_is_tried_again_when_the_last_try_is_cleared(reason: str, step: Step) -> None:
    failed = reported(state="Failed", reason=reason)
    assert plan(failed, job=job(ended=True)).step is Step.NOTHING
    assert plan(failed).step is step


def test_a_suspended_bundle_is_no_work_once_that_is_reported() -> None:
    rows = [{"path": PATH, "state": "Pending", "reason": "Suspended"}]
    status = {"observedGeneration": 1, "syncedGeneration": 1, "claimName": "models", "models": rows}
    assert plan(bundle(status=status, suspend=True)).step is Step.NOTHING
    assert plan(bundle(status=status)).step is Step.CREATE
    failed = [{"path": PATH, "state": "Failed", "reason": "NotFound"}]
    assert plan(bundle(status={**status, "models": failed}, suspend=True)).step is Step.NOTHING


def read(ago: timedelta, **spec: Any) -> ModelBundle:
    row = {"path": PATH, "state": "Ready", "sha256": SHA}
    status = {"observedGeneration": 1, "syncedGeneration": 1, "claimName": "models", "models": [row]}
    return bundle(status={**status, "verifiedTime": timestamp(NOW - ago)}, verifyEverySeconds=3600, **spec)


def test_files_are_read_again_when_it_is_time() -> None:
    fresh, old = read(timedelta(minutes=50)), read(timedelta(minutes=70))
    assert plan(fresh) == stores.Plan(Step.NOTHING, after=600)
    assert plan(fresh, old).step is Step.CREATE
    assert plan(old, job=job(ended=True, age=timedelta(minutes=20))).step is Step.DELETE
    assert plan(old, job=job(age=timedelta(minutes=20))).step is Step.NOTHING


def test_a_try_to_read_them_that_ended_in_nothing_is_not_repeated_at_once() -> None:
    old = read(timedelta(minutes=70))
    assert plan(old, job=job(ended=True, age=timedelta(minutes=5))).step is Step.NOTHING


def test_what_is_suspended_is_not_read_again() -> None:
    assert plan(read(timedelta(minutes=70), suspend=True)) == stores.Plan(Step.NOTHING)


def from_claims(*names: str, **row: Any) -> ModelBundle:
    models = [{"path": PATH, "source": {"claim": {"name": n, "path": "x"}}, "sha256": SHA} for n in names]
    status = {"observedGeneration": 1, "syncedGeneration": 1, "claimName": "models", "models": [{"path": PATH, **row}]}
    return bundle(status=status, models=models)


def test_claims_that_files_come_from_are_mounted_when_they_have_a_volume() -> None:
    found = [from_claims("b", state="Fetching"), from_claims("a", "none", "models", state="Fetching")]
    assert plan(*found, bound="a b c").sources == ("a", "b", "models")


def test_a_sync_that_cannot_reach_a_source_is_replaced() -> None:
    fetching = from_claims("a", state="Fetching")
    assert plan(fetching, job=job(), bound="a").step is Step.DELETE
    assert plan(fetching, job=job("a"), bound="a").step is Step.NOTHING
    assert plan(fetching, job=job("a")).step is Step.DELETE
    failed = from_claims("a", state="Failed", reason="NotFound")
    assert plan(failed, job=job(ended=True), bound="a").step is Step.DELETE
    assert plan(from_claims("a", state="Ready"), job=job(ended=True), bound="a").step is Step.NOTHING


def test_a_job_without_a_pod_says_why_in_the_same_words_each_time() -> None:
    name = job()["metadata"]["name"]
    events = [
        {
            "metadata": {},
            "reason": "FailedCreate",
            "message": f'Error creating: pods "{name}-{suffix}" is forbidden: exceeded quota: none',
            "lastTimestamp": f"2026-01-02T03:04:0{index}Z",
        }
        for index, suffix in enumerate(["x7k2p", "bq9zz"])
    ]
    said = Trouble("SyncPending", f'Error creating: pods "{name}" is forbidden: exceeded quota: none')
    assert stores.start_trouble(job(), events[:1]) == stores.start_trouble(job(), events) == said
    assert stores.start_trouble(job(), [{"metadata": {}, "reason": "SuccessfulCreate", "message": "x"}]) is None


def test_a_conflict_that_is_over_is_work_and_one_that_lasts_is_not() -> None:
    stuck = reported(state="Failed", reason="PathConflict")
    source = {"http": {"url": "http://host/y"}}
    rival = bundle("rival", models=[{"path": PATH, "source": source, "sha256": "b" * 64}])
    friend = bundle("friend", models=[{"path": PATH, "source": source, "sha256": SHA}])
    ended = job(ended=True)
    assert plan(stuck, rival, job=ended).step is Step.NOTHING
    assert plan(stuck, job=ended).step is Step.DELETE
    assert plan(stuck, friend, job=ended).step is Step.DELETE
