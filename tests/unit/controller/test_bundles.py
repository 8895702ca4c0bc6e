from typing import Any

import pytest

from comfyard.api.conditions import find
from comfyard.api.meta import FINALIZER_STORE
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller import bundles
from comfyard.controller.bundles import News, Observed
from comfyard.controller.settings import Settings
from comfyard.controller.trouble import Trouble
from tests.builders import NOW, SHA, bundle, profile, ready

SETTINGS = Settings(image="comfyard:1")
PVC: dict[str, Any] = {"metadata": {"name": "models"}, "status": {"phase": "Bound"}}
PENDING: dict[str, Any] = {"metadata": {"name": "models"}, "status": {"phase": "Pending"}}
LOST: dict[str, Any] = {"metadata": {"name": "models"}, "status": {"phase": "Lost"}}
TERMINATING: dict[str, Any] = {**PVC, "metadata": {"name": "models", "deletionTimestamp": "x"}}
PATH = "checkpoints/sd15.safetensors"
UNSEEN = {"observedGeneration": -1}
NODE = {"name": "pack", "git": {"url": "https://host/pack", "commit": "c" * 40}}
HIGH = profile("high", models={"includeTags": ["High"]})


def plan(b: ModelBundle, **seen: Any) -> bundles.Plan:
    return bundles.plan(b, b.status.to_api(), Observed(**{"claim": PVC, **seen}), SETTINGS, NOW)


def reported(*, generation: int = 1, status: dict[str, Any] | None = None, **row: Any) -> ModelBundle:
    told = {
        "observedGeneration": 1,
        "claimName": "models",
        "syncedGeneration": 1,
        "models": [{"path": PATH, **row}],
        **(status or {}),
    }
    return bundle(status=told, metadata={"generation": generation})


def model(name: str, **more: Any) -> dict[str, Any]:
    return {"path": f"loras/{name}", "source": {"http": {"url": f"http://host/{name}"}}, "sha256": SHA, **more}


def verdict(result: bundles.Plan) -> tuple[str, str, str]:
    after = bundle(status=result.status)
    up = [
        t for t in ("Ready", "Reconciling", "Stalled") if (c := find(after.status.conditions, t)) and c.status == "True"
    ]
    told = find(after.status.conditions, "Ready")
    assert told
    assert len(up) == 1
    return up[0], told.reason, told.message


def test_verified_files_make_it_ready_with_a_digest_of_the_content() -> None:
    result = plan(reported(state="Ready", sha256=SHA, size=10))
    assert verdict(result) == ("Ready", "Verified", "1 of 1 files, 10 B, verified")
    assert result.status["digest"] == "sha256:b4dc8ace553604f236ee7b532f11bcab9181a6eb80af12cc2a461397311f189e"
    assert result.status["observedGeneration"] == 1


def test_custom_nodes_are_part_of_what_must_be_there_and_of_the_digest() -> None:
    def with_node(state: str, tree: str) -> bundles.Plan:
        rows = {
            "models": [{"path": PATH, "state": "Ready", "sha256": SHA, "size": 10}],
            "customNodes": [{"name": "pack", "state": state, "tree": tree, "message": "no such commit"}],
        }
        return plan(bundle(status={"syncedGeneration": 1, **rows}, customNodes=[NODE]))

    done = with_node("Ready", "t" * 40)
    assert verdict(done)[2] == "1 of 1 files, 1 of 1 custom nodes, 10 B, verified"
    assert done.status["digest"] not in {"", with_node("Ready", "u" * 40).status["digest"]}
    assert verdict(with_node("Failed", "")) == ("Stalled", "Failed", "custom node pack: no such commit")


def test_a_wrong_file_stalls_it_with_the_syncs_words() -> None:
    result = plan(reported(state="Failed", reason="DigestMismatch", message="wanted a, got b"))
    assert verdict(result) == ("Stalled", "DigestMismatch", f"{PATH}: wanted a, got b")
    assert result.status["digest"] == ""


def test_as_many_failures_are_told_as_a_person_reads() -> None:
    names = [f"{index:02}.safetensors" for index in range(20)]
    rows = [{"path": f"loras/{n}", "state": "Failed", "reason": "NotFound", "message": "x" * 500} for n in names]
    kind, reason, message = verdict(
        plan(bundle(status={"syncedGeneration": 1, "models": rows}, models=[model(n) for n in names]))
    )
    assert (kind, reason) == ("Stalled", "NotFound")
    assert message.count("x" * 500) == 5
    assert message.endswith("; … and 15 more")


def test_a_report_about_an_older_generation_does_not_count() -> None:
    result = plan(reported(generation=2, state="Ready", sha256=SHA))
    assert verdict(result) == ("Reconciling", "Fetching", "0 of 1 files")
    assert result.status["files"] == {"total": 1, "ready": 0}


def test_bytes_alone_change_nothing_of_ours() -> None:
    one, two = (plan(reported(state="Fetching", bytes=b)).status for b in (1, 2))
    assert one["conditions"] == two["conditions"]


def test_a_file_that_is_read_again_stays_ready() -> None:
    assert verdict(plan(reported(state="Ready", sha256=SHA, reason="Verifying")))[0] == "Ready"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"state": "Pending", "reason": "Suspended"},
            ("Reconciling", "Suspended", "0 of 1 files; suspended: set spec.suspend to false to go on"),
        ),
        ({"state": "Ready", "sha256": SHA}, ("Ready", "Verified", "1 of 1 files, 0 B, verified")),
    ],
)
def test_a_suspended_bundle_is_ready_only_with_all_files(row: dict[str, Any], expected: tuple[str, str, str]) -> None:
    found = bundle(status={"syncedGeneration": 1, "models": [{"path": PATH, **row}]}, suspend=True)
    assert verdict(plan(found)) == expected


def test_profiles_leave_out_what_none_of_them_wants() -> None:
    models = [model("high.safetensors", tags=["High"]), model("low.safetensors", tags=["Low"]), model("any")]
    result = plan(bundle(status=UNSEEN, models=models, profiles=["high"]), profiles={"high": HIGH})
    assert result.status["skipped"] == ["loras/low.safetensors"]
    assert result.status["files"] == {"total": 2, "ready": 0}
    both = {"high": HIGH, "all": profile("all")}
    assert plan(bundle(status=UNSEEN, models=models, profiles=["high", "all"]), profiles=both).status["skipped"] == []


def test_what_is_left_out_is_not_waited_for_and_told() -> None:
    models = [model("high", tags=["High"]), model("low", tags=["Low"])]
    rows = [{"path": "loras/high", "state": "Ready", "sha256": SHA, "size": 5}]
    found = bundle(status={"syncedGeneration": 1, "models": rows}, models=models, profiles=["high"])
    result = plan(found, profiles={"high": HIGH})
    assert verdict(result) == ("Ready", "Verified", "1 of 1 files, 5 B, verified; 1 left out by spec.profiles")


def test_while_a_profile_is_missing_nobody_knows_what_is_wanted() -> None:
    before = {"observedGeneration": 0, "skipped": ["loras/a"]}
    result = plan(bundle(status=before, profiles=["high", "l4"]), profiles={"l4": profile()})
    said = "hardwareprofiles.comfyard.io high not found (there: l4); create it, or correct spec.profiles"
    assert verdict(result) == ("Reconciling", "ProfileNotFound", said)
    assert (result.status["observedGeneration"], result.status["skipped"]) == (0, ["loras/a"])


@pytest.mark.parametrize(
    ("spec", "made"),
    [
        ({"store": {}}, "comfyard-models"),
        ({"store": {"claimTemplate": {"size": "1Gi"}}}, "sd15-models"),
    ],
)
def test_a_claim_that_is_ours_to_make_is_made(spec: dict[str, Any], made: str) -> None:
    found = bundle(status=UNSEEN, **spec)
    assert bundles.claim_to_make(found, None, SETTINGS)
    assert bundles.claim_to_make(found, PVC, SETTINGS) is None
    assert plan(found, claim=None).status["claimName"] == made


def test_a_claim_that_is_the_users_is_waited_for() -> None:
    found = bundle(status=UNSEEN)
    assert bundles.claim_to_make(found, None, SETTINGS) is None
    assert verdict(plan(found, claim=None))[1] == "ClaimNotFound"


REFUSED = Trouble("ClaimRefused", "exceeded quota: none")
UNBINDABLE = Trouble("ClaimUnbindable", "no such class")
SLOW = Trouble("ClaimPending", "quota of the cloud")
NO_NODES = Trouble("Unschedulable", "Unschedulable: no nodes")
NO_CLAIM = Trouble("Unschedulable", "Unschedulable: pod has unbound immediate PersistentVolumeClaims")


@pytest.mark.parametrize(
    ("seen", "kind", "reason", "part"),
    [
        ({"claim": None, "claim_trouble": REFUSED}, "Stalled", "ClaimRefused", "exceeded quota: none; make room"),
        ({"claim": PENDING, "claim_trouble": UNBINDABLE}, "Stalled", "ClaimUnbindable", "gets no volume: no such"),
        ({"claim": PENDING, "claim_trouble": SLOW}, "Reconciling", "ClaimPending", "yet: quota of the cloud"),
        ({"claim": PENDING}, "Reconciling", "ClaimPending", "comfyard-models has no volume yet"),
        ({"claim": PENDING, "sync_trouble": NO_NODES}, "Reconciling", "Unschedulable", "no nodes"),
        ({"claim": PENDING, "sync_trouble": NO_CLAIM}, "Reconciling", "ClaimPending", "no volume yet"),
        ({"sync_trouble": NO_NODES}, "Reconciling", "Unschedulable", "the store sync does not run: Unsch"),
        ({"claim": LOST}, "Stalled", "ClaimLost", "restore it"),
        ({"claim": TERMINATING}, "Reconciling", "ClaimTerminating", "is being deleted"),
    ],
)
def test_what_is_wrong_with_the_claim_or_the_sync_is_told(
    seen: dict[str, Any], kind: str, reason: str, part: str
) -> None:
    told = verdict(plan(bundle(status=UNSEEN, store={}), **seen))
    assert told[:2] == (kind, reason)
    assert part in told[2]


def test_what_no_watch_tells_of_is_looked_at_again() -> None:
    assert plan(bundle(status=UNSEEN, store={}), claim=None, claim_trouble=REFUSED).after == bundles.REFUSED_SECONDS
    assert plan(bundle(status=UNSEEN), claim=PENDING).after
    assert plan(bundle(status=UNSEEN), sync_starts=True).after
    assert plan(bundle(status=UNSEEN)).after is None


def test_what_was_reported_goes_with_the_claim() -> None:
    assert plan(reported(state="Ready", sha256=SHA), claim=None).status["syncedGeneration"] == -1


def test_a_claim_that_is_younger_than_the_report_is_another() -> None:
    seen = {"conditions": ready("Verified")}  # since 03:04:00
    younger = {"metadata": {"name": "models", "creationTimestamp": "2026-01-02T03:04:01Z"}, "status": PVC["status"]}
    older = {"metadata": {"name": "models", "creationTimestamp": "2026-01-02T03:03:59Z"}, "status": PVC["status"]}
    was_ready = reported(state="Ready", sha256=SHA, status=seen)
    assert verdict(plan(was_ready, claim=older))[0] == "Ready"
    result = plan(was_ready, claim=younger)
    assert verdict(result)[:2] == ("Reconciling", "Fetching")
    assert result.status["syncedGeneration"] == -1


def test_what_becomes_so_is_told_once() -> None:
    fetching, done = reported(state="Fetching"), reported(state="Ready", sha256=SHA)
    failed = reported(state="Failed", reason="NotFound", message="404")
    assert list(plan(fetching).news) == []
    assert list(plan(done).news) == [News("Normal", "Verified", "1 of 1 files, 0 B, verified")]
    assert list(plan(failed).news) == [News("Warning", "NotFound", f"{PATH}: 404")]
    for found in (done, failed):
        again = {"conditions": plan(found).status["conditions"]}
        row = found.status.models[0].to_api()
        assert list(plan(reported(status=again, **row)).news) == []


def test_another_cause_is_told_again() -> None:
    before = {"conditions": plan(reported(state="Failed", reason="NotFound", message="404")).status["conditions"]}
    now = plan(reported(state="Failed", reason="Unauthorized", message="401", status=before))
    assert [news.reason for news in now.news] == ["Unauthorized"]


@pytest.mark.parametrize(
    ("found", "used", "held"),
    [
        (reported(state="Ready", sha256=SHA), True, False),
        (reported(generation=2, state="Ready", sha256=SHA), True, True),
        (reported(generation=2, state="Ready", sha256=SHA), False, False),
        (reported(state="Pending", reason="InUse", status={"inUse": True}), True, True),
        (reported(state="Pending", reason="InUse", status={"inUse": True}), False, False),
    ],
)
def test_files_are_held_from_a_change_until_the_jobs_have_ended(found: ModelBundle, *, used: bool, held: bool) -> None:
    assert plan(found, used=used).status["inUse"] is held


def test_a_change_of_the_profiles_holds_the_files_too() -> None:
    rows = [{"path": "loras/low", "state": "Ready", "sha256": SHA}]
    found = bundle(
        status={"syncedGeneration": 1, "models": rows}, models=[model("low", tags=["Low"])], profiles=["high"]
    )
    result = plan(found, profiles={"high": HIGH}, used=True)
    assert (result.status["skipped"], result.status["inUse"]) == (["loras/low"], True)


OURS = {"finalizers": ["other/one", FINALIZER_STORE]}
GOES = {**OURS, "deletionTimestamp": "2026-01-02T03:04:05Z", "generation": 2}


def finalizers(policy: str, metadata: dict[str, Any], **seen: Any) -> list[str] | None:
    found = bundle(metadata=metadata, deletionPolicy=policy)
    return bundles.finalizers(found, Observed(**{"claim": PVC, **seen}))


def test_the_finalizer_is_there_while_the_policy_says_so() -> None:
    assert finalizers("Delete", {}) == [FINALIZER_STORE]
    assert finalizers("Delete", OURS) is None
    assert finalizers("Retain", OURS) == ["other/one"]
    assert finalizers("Retain", {}) is None
    assert finalizers("Delete", {"deletionTimestamp": "x", "finalizers": ["other/one"]}) is None


@pytest.mark.parametrize("seen", [{"claim": None}, {"claim": LOST}, {"claim": TERMINATING}, {"namespace_ends": True}])
def test_a_deletion_does_not_wait_for_files_that_go_anyway(seen: dict[str, Any]) -> None:
    assert finalizers("Delete", GOES) is None
    assert finalizers("Delete", GOES, **seen) == ["other/one"]


def test_a_deletion_waits_until_no_file_is_left() -> None:
    gone = bundle(metadata=GOES, status={"syncedGeneration": 2}, deletionPolicy="Delete")
    assert bundles.finalizers(gone, Observed(claim=PVC)) == ["other/one"]
    node = {"name": "pack", "state": "Ready"}
    node_left = bundle(metadata=GOES, status={"customNodes": [node]}, deletionPolicy="Delete")
    assert bundles.finalizers(node_left, Observed(claim=PVC)) is None
    assert finalizers("Retain", GOES) == ["other/one"]


def test_a_bundle_that_goes_says_what_it_waits_for() -> None:
    going = bundle(metadata=GOES, deletionPolicy="Delete")
    result = plan(going)
    said = "its files are removed from claim models; set spec.deletionPolicy to Retain to leave them"
    assert verdict(result) == ("Reconciling", "Deleting", said)
    assert result.after
    assert (result.status["observedGeneration"], result.status["digest"]) == (2, "")
    held = plan(going, used=True)
    assert held.status["inUse"] is True
    assert "jobs run with its files" in verdict(held)[2]


def test_a_bundle_that_goes_for_others_is_left_alone() -> None:
    going = bundle(metadata={**GOES, "finalizers": ["other/one"]})
    assert plan(going).status == going.status.to_api()
