"""Which models and custom nodes a job needs on a profile, and what the receipt says of them."""

from dataclasses import replace
from typing import Any

import pytest

from comfyard.api.model_bundle import ModelBundle
from comfyard.controller.job_observed import Observed
from comfyard.controller.pools import Node
from tests.builders import SHA, bundle, job, profile, ready, template, template_spec
from tests.unit.controller.planning import SERVER, assign, observed, plan, reason, words

BIG, SMALL = "checkpoints/big.safetensors", "checkpoints/small.safetensors"
COMMIT, TREE = "c" * 40, "d" * 40


def with_node(commit: str, name: str = "sd15", claim: str = "models") -> ModelBundle:
    """A bundle of a checkpoint and a package of custom nodes."""
    rows = bundle().status.to_api() | {
        "claimName": claim,
        "customNodes": [{"name": "pack", "state": "Ready", "commit": commit, "tree": TREE}],
    }
    return bundle(name, rows, customNodes=[{"name": "pack", "git": {"url": "https://host/p", "commit": commit}}])


def test_the_servers_of_a_job_have_the_custom_nodes_of_its_bundles() -> None:
    one, two = template(bundles=[{"name": "sd15"}]), template(bundles=[{"name": "sd15"}, {"name": "more"}])
    bundles = {"sd15": with_node(COMMIT), "more": with_node(COMMIT, "more", "loras")}
    for found in (one, two):
        demand = plan(job(), observed(template=found, bundles=bundles)).demand
        assert demand
        assert demand.pool.nodes == (Node("pack", COMMIT, "models"),)


def test_a_custom_node_at_two_commits_is_waited_out_and_told() -> None:
    found = template(bundles=[{"name": "sd15"}, {"name": "more"}])
    bundles = {"sd15": with_node("c" * 40), "more": with_node("d" * 40, "more")}
    result = plan(job(), observed(template=found, bundles=bundles))
    assert result.demand is None
    state, message = words(result)
    assert state == "Pending"
    assert f"custom node pack is at commit {'c' * 40} in bundle sd15 and at {'d' * 40} in bundle more" in message


def model(path: str, *tags: str) -> dict[str, Any]:
    return {"path": path, "source": {"http": {"url": "http://host/x"}}, "sha256": SHA, "tags": list(tags)}


def row(path: str, state: str = "Ready", sha256: str = SHA) -> dict[str, Any]:
    return {"path": path, "state": state, "sha256": sha256, "size": 10, "bytes": 10}


def tiered_bundle(big: str = "Ready", small: str = "Ready", *, is_ready: bool = True, **status: Any) -> ModelBundle:
    """A large file for large machines, and a small one for small machines."""
    conditions = ready("Verified" if is_ready else "Fetching")
    conditions[0] |= {"status": "True" if is_ready else "False", "message": "1 of 2 files"}
    whole = {
        "observedGeneration": 1,
        "syncedGeneration": 1,
        "claimName": "models",
        "conditions": conditions,
        "models": [row(BIG, big, "b" * 64), row(SMALL, small, "c" * 64)],
        **status,
    }
    return bundle(status=whole, models=[model(BIG, "High"), model(SMALL, "Low")])


def tiered_spec(**more: Any) -> dict[str, Any]:
    """A template whose checkpoint depends on the profile's tier."""
    spec = template_spec()
    spec["graph"]["4"]["inputs"]["ckpt_name"] = "{{model}}"
    by_tier = {"High": "big.safetensors", "Low": "small.safetensors"}
    return {**spec, "parameters": [*spec["parameters"], {"name": "model", "type": "Model", "byTier": by_tier, **more}]}


def tiered(*tags: str, tier: str = "Low", found: ModelBundle | None = None, **parameter: Any) -> Observed:
    machine = profile(tier=tier, models={"includeTags": list(tags)})
    bundles = {"sd15": found or tiered_bundle()}
    return observed(template=template(**tiered_spec(**parameter)), bundles=bundles, profiles={"l4": machine})


@pytest.mark.parametrize(("tier", "file"), [("High", "big.safetensors"), ("Low", "small.safetensors")])
def test_the_tier_of_the_profile_decides_the_file(tier: str, file: str) -> None:
    status = assign(job(), tiered(tier=tier))
    assert status["parameters"]["model"] == file
    assert [m["path"] for m in status["receipt"]["models"]] == [f"checkpoints/{file}"]


def test_the_jobs_own_file_goes_before_that_of_the_tier() -> None:
    order = job(parameters={"prompt": "x", "model": "big.safetensors"})
    assert assign(order, tiered(tier="Low"))["parameters"]["model"] == "big.safetensors"


def test_a_tier_without_a_file_is_wrong_for_good() -> None:
    result = plan(job(), tiered(tier="Mid"))
    assert (result.status["state"], reason(result)) == ("Failed", "InvalidParameters")
    assert "on profile l4: parameter model: has no file for profiles of tier Mid; give it in" in words(result)[1]


def test_the_next_profile_decides_the_file_again() -> None:
    small = profile("small", tier="Low")
    seen = observed(
        template=template(**tiered_spec()),
        bundles={"sd15": tiered_bundle()},
        profiles={"l4": profile(tier="High"), "small": small},
    )
    order = job(profiles=["l4", "small"])
    first = assign(order, seen)
    assert first["parameters"]["model"] == "big.safetensors"
    vram = {"id": "a", "server": "s", "profile": "l4", "start": "2026-01-02T03:04:00Z", "end": "2026-01-02T03:04:01Z"}
    attempts = [{**vram, "outcome": "Failed", "class": "OutOfVRAM", "message": "out"}] * 2
    again = {key: value for key, value in first.items() if key != "assignment"} | {"attempts": attempts}
    result = plan(job(again, profiles=["l4", "small"]), seen)
    assert result.demand
    assert result.demand.pool.profile == "small"
    assert result.status["parameters"] == {"prompt": "a lighthouse", "steps": 20, "model": "small.safetensors"}


def test_other_values_stay_as_they_were_accepted() -> None:
    accepted = plan(job(), tiered()).status
    accepted["parameters"]["steps"] = 25
    assert plan(job(accepted), tiered()).status["parameters"]["steps"] == 25


def test_only_what_the_profile_uses_must_be_there() -> None:
    found = tiered_bundle(big="Fetching", is_ready=False)
    assert plan(job(), tiered("Low", found=found)).demand
    result = plan(job(), tiered("High", tier="High", found=found))
    assert (reason(result), words(result)) == ("BundleNotReady", ("Pending", "bundle sd15: 1 of 2 files"))
    assert reason(plan(job(), tiered(found=found))) == "BundleNotReady"  # without tags, it uses all


@pytest.mark.parametrize(
    "changes",
    [
        {"observedGeneration": 0},
        {"syncedGeneration": 0},
        {"models": [row(SMALL)]},
        {"conditions": [{**ready("ClaimTerminating")[0], "status": "False"}]},
    ],
)
def test_a_bundle_that_is_not_as_it_was_synced_is_waited_for(changes: dict[str, Any]) -> None:
    found = tiered_bundle(big="Fetching", is_ready=False, **changes)
    assert reason(plan(job(), tiered("Low", found=found))) == "BundleNotReady"


def test_a_file_that_the_profiles_tags_leave_out_is_named() -> None:
    order = job(parameters={"prompt": "x", "model": "big.safetensors"})
    result = plan(order, tiered("Low"))
    assert reason(result) == "ModelNotForProfile"
    assert words(result)[1] == (
        f"{BIG}, which the job needs, has tags High in bundle sd15, and profile l4 takes only Low; change the tags, "
        "or order with another file or profile"
    )


def test_a_file_that_the_bundle_leaves_out_is_named() -> None:
    found = tiered_bundle(skipped=[SMALL], models=[row(BIG)])
    result = plan(job(), tiered(found=found))
    assert reason(result) == "ModelSkipped"
    assert f"bundle sd15 leaves out {SMALL}, which the job needs on profile l4" in words(result)[1]
    assert "add l4 there" in words(result)[1]


def test_a_file_that_was_taken_out_of_the_bundle_is_named() -> None:
    accepted = plan(job(), tiered()).status
    found = bundle(models=[model(BIG)], status=tiered_bundle(models=[row(BIG)]).status.to_api())
    result = plan(job(accepted), tiered(found=found))
    assert reason(result) == "ModelNotProvided"
    assert f"no bundle of the template (sd15) has {SMALL}, which the job needs; add it" in words(result)[1]


def test_the_receipt_says_what_the_job_is_rendered_with() -> None:
    status = assign(job(), observed(template=template(), bundles={"sd15": with_node(COMMIT)}))
    assert status["receipt"] == {
        "template": "sha256:t",
        "graph": "",
        "models": [{"path": "checkpoints/sd15.safetensors", "sha256": SHA}],
        "nodes": [{"name": "pack", "commit": COMMIT, "tree": TREE}],
        "inputs": [],
        "outputsReused": False,
    }


def test_the_receipt_says_which_image_renders_where_that_is_known() -> None:
    server = replace(SERVER, image="ghcr.io/a/comfyui@sha256:12")
    assert assign(job(), tiered(), server)["receipt"]["server"] == {"image": "ghcr.io/a/comfyui@sha256:12"}
    assert "server" not in assign(job(), tiered())["receipt"]


def test_a_changed_file_makes_another_receipt() -> None:
    receipts = [
        assign(job(), tiered(found=tiered_bundle(models=[row(BIG), row(SMALL, sha256=digest)])))["receipt"]
        for digest in ("1" * 64, "2" * 64)
    ]
    assert receipts[0] != receipts[1]
