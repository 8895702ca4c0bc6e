from datetime import timedelta
from typing import Any

import pytest

from comfyard.api.conditions import MESSAGE_BOUND, find
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate
from comfyard.controller import templates
from comfyard.controller.node_knowledge import View
from comfyard.workflow.object_info import Knowledge, core
from tests.broken import CHECKPOINT, photo
from tests.broken import template_spec as rich_spec
from tests.builders import NOW, bundle, graph, template

UNSEEN = {"observedGeneration": -1}


def plan(t: WorkflowTemplate, *names: str) -> templates.Plan:
    return templates.plan(t, t.status.to_api(), {n: bundle(n) for n in names}, [], NOW)


def message(result: templates.Plan, condition: str) -> str:
    found = find(template(status=result.status).status.conditions, condition)
    assert found
    assert found.status == "True"
    return found.message


def test_a_good_template_is_accepted_and_its_content_kept() -> None:
    result = plan(template(UNSEEN), "sd15")
    assert result.revision
    assert result.revision["metadata"]["name"] == result.status["revision"]
    assert result.status["models"] == [{"path": "checkpoints/sd15.safetensors", "bundle": "sd15"}]
    message(result, "Ready")


def test_kept_content_is_not_kept_twice() -> None:
    first = plan(template(UNSEEN), "sd15").revision
    assert first
    again = templates.plan(template(UNSEEN), {}, {"sd15": bundle()}, [first], NOW)
    assert again.revision is None
    assert again.status["revision"] == first["metadata"]["name"]


def test_a_missing_bundle_is_waited_for() -> None:
    assert "modelbundles.comfyard.io sd15 not found (there: other)" in message(
        plan(template(UNSEEN), "other"), "Reconciling"
    )


def test_a_model_that_no_bundle_has_stalls_it() -> None:
    result = templates.plan(template(UNSEEN, bundles=[]), {}, {}, [], NOW)
    assert "provides checkpoints/sd15.safetensors" in message(result, "Stalled")


def test_a_model_that_a_bundle_leaves_out_is_not_provided() -> None:
    found = bundle(status={"skipped": ["checkpoints/sd15.safetensors"]})
    told = message(templates.plan(template(UNSEEN), {}, {"sd15": found}, [], NOW), "Stalled")
    assert "provides checkpoints/sd15.safetensors" in told
    assert "or a profile that wants it to the spec.profiles of the one that leaves it out" in told


def test_all_problems_are_told_at_once() -> None:
    broken = template(UNSEEN, outputs=[{"name": "a", "node": "70"}, {"name": "b", "node": "71"}])
    told = message(plan(broken, "sd15"), "Stalled")
    assert "node 70" in told
    assert "node 71" in told


def kinds(**by_bundle: str) -> dict[str, ModelBundle]:
    """Bundles that all provide the checkpoint, which is of a kind of its own in each."""
    row = {"path": "checkpoints/sd15.safetensors", "state": "Ready"}
    return {name: bundle(name, {"models": [{**row, "kind": kind}]}) for name, kind in by_bundle.items()}


def test_a_file_of_another_kind_than_its_loader_loads_stalls_it() -> None:
    result = templates.plan(template(UNSEEN), {}, kinds(sd15="Lora"), [], NOW)
    assert "checkpoints/sd15.safetensors is a LoRA" in message(result, "Stalled")
    assert [c["reason"] for c in result.status["conditions"]] == ["ModelWrongKind"] * 3
    assert message(templates.plan(template(UNSEEN), {}, kinds(sd15="Checkpoint"), [], NOW), "Ready")


def test_the_bundle_that_provides_a_file_says_what_it_is() -> None:
    both = template(UNSEEN, bundles=[{"name": "first"}, {"name": "second"}])
    assert message(templates.plan(both, {}, kinds(first="Checkpoint", second="Vae"), [], NOW), "Ready")
    assert "is a VAE" in message(templates.plan(both, {}, kinds(first="Vae", second="Checkpoint"), [], NOW), "Stalled")


def test_what_looks_wrong_is_told_and_stops_nothing() -> None:
    changed = graph()
    changed["9"]["class_type"] = "SaveImageWithStyle"
    first = plan(template(UNSEEN, graph=changed), "sd15")
    assert "node 9: class SaveImageWithStyle is not known" in message(first, "Warnings")
    assert "1 warning: node 9: class SaveImageWithStyle" in message(first, "Ready")
    assert first.revision


def test_the_same_verdict_changes_nothing() -> None:
    changed = graph()
    changed["9"]["class_type"] = "SaveImageWithStyle"
    spec = {"graph": changed}
    first = plan(template(UNSEEN, **spec), "sd15")
    seen = template(first.status, **spec)
    kept = [first.revision] if first.revision else []
    again = templates.plan(seen, first.status, {"sd15": bundle()}, kept, NOW + timedelta(hours=1))
    assert (again.status, again.revision) == (first.status, None)


def test_a_warning_goes_with_its_cause() -> None:
    changed = graph()
    changed["9"]["class_type"] = "SaveImageWithStyle"
    first = plan(template(UNSEEN, graph=changed), "sd15")
    after = plan(template(first.status), "sd15")
    conditions = {each["type"]: each for each in after.status["conditions"]}
    assert (conditions["Warnings"]["status"], conditions["Warnings"]["message"]) == ("False", "")


def test_a_template_without_warnings_has_no_such_condition() -> None:
    assert {each["type"] for each in plan(template(UNSEEN), "sd15").status["conditions"]} == {
        "Ready",
        "Reconciling",
        "Stalled",
    }


def test_what_one_kind_of_server_lacks_is_a_warning_and_what_all_lack_is_wrong() -> None:
    without = Knowledge({k: v for k, v in core().classes.items() if k != "SaveImage"}, complete=True)
    views = [View(("old",), without), View(("new",), Knowledge(core().classes, complete=True))]
    seen = template(UNSEEN)
    some = templates.plan(seen, {}, {"sd15": bundle()}, [], NOW, views)
    assert "on profile old: node 9: no server has the class SaveImage" in message(some, "Warnings")
    message(some, "Ready")
    none = templates.plan(seen, {}, {"sd15": bundle()}, [], NOW, views[:1])
    assert "node 9: no server has the class SaveImage" in message(none, "Stalled")


def test_a_long_list_of_problems_is_cut_between_two_of_them() -> None:
    outputs = [{"name": f"{'o' * 50}-{index}", "node": f"{'x' * 50}-{index}"} for index in range(32)]
    told = message(plan(template(UNSEEN, outputs=outputs), "sd15"), "Stalled")
    assert len(told) <= MESSAGE_BOUND
    whole, _, more = told.rpartition("; and ")
    assert whole.count("; its output nodes") == 32 - int(more.removesuffix(" more"))


def rich(**more: Any) -> templates.Plan:
    own = bundle(models=[{"path": f"checkpoints/{name}", "source": {"existing": {}}} for name in ("a.ckpt", "b.ckpt")])
    spec = rich_spec(bundles=[{"name": "sd15"}], **more)
    return templates.plan(template(UNSEEN, **spec), {}, {"sd15": own}, [], NOW)


def test_every_file_that_a_tier_or_a_default_names_is_used() -> None:
    checkpoint = {**CHECKPOINT, "default": "a.ckpt", "byTier": {"Low": "b.ckpt"}}
    others = [each for each in rich_spec()["parameters"] if each["name"] != "checkpoint"]
    result = rich(parameters=[*others, checkpoint])
    assert [use["path"] for use in result.status["models"]] == ["checkpoints/a.ckpt", "checkpoints/b.ckpt"]


def test_the_schema_has_the_order_the_limits_and_the_files() -> None:
    checkpoint = {**CHECKPOINT, "default": "a.ckpt", "description": "What draws"}
    others = [each for each in rich_spec()["parameters"] if each["name"] != "checkpoint"]
    schema = rich(parameters=[checkpoint, *others], title="A picture", description="Of anything").status[
        "parameterSchema"
    ]
    assert (schema["title"], schema["description"]) == ("A picture", "Of anything")
    assert schema["x-order"] == ["checkpoint", "prompt", "steps", "seed", "width", "sampler"]
    assert schema["properties"]["checkpoint"] == {
        "type": "string",
        "enum": ["a.ckpt", "b.ckpt"],
        "default": "a.ckpt",
        "description": "What draws",
    }
    assert schema["properties"]["steps"] == {"type": "integer", "default": 20, "minimum": 1, "maximum": 60}
    assert "x-comfyard-inputs" not in schema


@pytest.mark.parametrize("kind", ["Image", "Mask"])
def test_files_are_asked_for_by_a_key_of_their_own(kind: str) -> None:
    spec = photo(kind)
    spec["parameters"] = [each for each in spec["parameters"] if each["name"] != "checkpoint"]
    spec["graph"]["4"]["inputs"]["ckpt_name"] = "a.ckpt"
    schema = rich(**{key: spec[key] for key in ("graph", "parameters")}).status["parameterSchema"]
    assert schema["x-comfyard-inputs"] == [{"name": "photo", "type": kind}]
    assert "photo" not in schema["properties"]
    assert schema["x-order"][-1] == "photo"
