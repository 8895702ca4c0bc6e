"""What servers are warmed up with: a template, with its defaults."""

import json
from dataclasses import replace
from typing import Any

import pytest

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.job_observed import Observed
from comfyard.controller.trouble import Trouble
from comfyard.controller.warm_up import WarmUp, plan_warm_up
from tests.builders import bundle, graph, profile, template
from tests.unit.controller.planning import demand_of, observed

DEFAULTS: list[dict[str, Any]] = [
    {"name": "prompt", "type": "String", "default": "a lighthouse"},
    {"name": "steps", "type": "Integer", "default": 4},
    {"name": "seed", "type": "Seed"},
]
ASKED = {"warmUp": {"namespace": "studio", "template": "text-to-image"}}


def warm(**spec: Any) -> HardwareProfile:
    return profile(pool=ASKED, **spec)


def around(parameters: list[dict[str, Any]] | None = None, **more: Any) -> Observed:
    return observed(template=template(parameters=parameters or DEFAULTS), **more)


def found(of: HardwareProfile, seen: Observed) -> WarmUp:
    result = plan_warm_up(of, seen)
    assert isinstance(result, WarmUp), result
    return result


def test_nobody_asks_for_it() -> None:
    assert plan_warm_up(profile(), around()) is None


def test_the_graph_has_all_values_and_no_node_that_nothing_asks_for() -> None:
    lonely = {"99": {"class_type": "LoadImage", "inputs": {"image": "x.png"}}}
    made = json.loads(found(warm(), observed(template=template(parameters=DEFAULTS, graph=graph() | lonely))).graph)
    assert made["3"]["inputs"]["steps"] == 4
    assert made["3"]["inputs"]["seed"] == "0"
    assert made["6"]["inputs"]["text"] == "a lighthouse, sharp"
    assert "99" not in made
    assert "{{" not in json.dumps(made)


def test_its_pool_is_that_of_the_first_job() -> None:
    seen = around()
    assert found(warm(), seen).pool == demand_of(seen).pool


def test_it_suits_all_servers_with_its_models_whatever_their_jobs_take_and_make() -> None:
    made, seen = found(warm(), around()), around()
    pool = demand_of(seen).pool
    assert made.suits(pool)
    assert made.suits(replace(pool, results_claim="", input_claims=("photos",)))
    for other in (replace(pool, namespace="b"), replace(pool, profile="a100"), replace(pool, model_claims=("loras",))):
        assert not made.suits(other)


def test_the_tier_of_the_profile_chooses_the_file() -> None:
    file: dict[str, Any] = {
        "name": "checkpoint",
        "type": "Model",
        "byTier": {"High": "sd15.safetensors", "Low": "small.safetensors"},
    }
    file["targets"] = [{"node": "4", "input": "ckpt_name"}]
    rows = [
        {"path": f"checkpoints/{name}.safetensors", "state": "Ready", "sha256": "a" * 64, "size": 1}
        for name in ("sd15", "small")
    ]
    models = [{"path": row["path"], "source": {"http": {"url": "http://h/x"}}, "sha256": row["sha256"]} for row in rows]
    status = {**bundle().status.to_api(), "models": rows}
    seen = around([*DEFAULTS, file], bundles={"sd15": bundle(status=status, models=models)})
    for tier, name in (("High", "sd15"), ("Low", "small")):
        made = json.loads(found(warm(tier=tier), seen).graph)
        assert made["4"]["inputs"]["ckpt_name"] == f"{name}.safetensors"


@pytest.mark.parametrize(
    ("seen", "reason", "part"),
    [
        (observed(), "TemplateNotFound", '"text-to-image" is not in namespace "studio" (there: other, text-to-image)'),
        (
            observed(template=template({"observedGeneration": 1, "conditions": []}, parameters=DEFAULTS)),
            "TemplateNotReady",
            "template text-to-image is not ready",
        ),
        (around([{"name": "prompt", "type": "String", "required": True}, *DEFAULTS[1:]]), "NoDefault", "prompt is req"),
        (around([*DEFAULTS, {"name": "photo", "type": "Image"}]), "FileNeeded", "parameter photo of template text-to-"),
        (around(bundles={}), "BundleNotFound", "sd15"),
        (
            around([{**DEFAULTS[0], "default": "x" * 100_000}, *DEFAULTS[1:]]),
            "GraphTooLarge",
            "has more than 100000 bytes; name a smaller one",
        ),
    ],
    ids=["not found", "not ready", "no default", "file", "bundle", "large"],
)
def test_why_there_is_no_warm_up(seen: Observed, reason: str, part: str) -> None:
    result = plan_warm_up(warm(), seen)
    assert isinstance(result, Trouble)
    assert result.reason == reason
    assert part in result.message
