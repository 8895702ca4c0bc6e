from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.generation_job import JobInput
from comfyard.api.workflow_template import Parameter, WorkflowTemplateSpec
from comfyard.workflow.landings import placeholders, substitute
from comfyard.workflow.parameters import MAX_SEED, check_inputs, given_seed, parameter_schema, resolve, tier_problems
from tests.builders import graph, template_spec

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_characters="{}")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def spec(**more: Any) -> WorkflowTemplateSpec:
    return WorkflowTemplateSpec.model_validate(template_spec(**more))


def test_a_whole_placeholder_keeps_the_type() -> None:
    out = substitute(graph(), {"steps": 7, "prompt": "x", "seed": "5"}, [])
    assert out["3"]["inputs"]["steps"] == 7


def test_inside_a_longer_string_it_is_text() -> None:
    out = substitute(graph(), {"prompt": "a cat", "steps": 1, "seed": "1"}, [])
    assert out["6"]["inputs"]["text"] == "a cat, sharp"


def test_a_value_that_looks_like_a_placeholder_is_not_replaced_again() -> None:
    out = substitute(graph(), {"prompt": "{{steps}}", "steps": 1, "seed": "1"}, [])
    assert out["6"]["inputs"]["text"] == "{{steps}}, sharp"


def test_targets_get_the_value() -> None:
    parameter = Parameter.model_validate({"name": "w", "type": "Integer", "targets": [{"node": "5", "input": "width"}]})
    assert substitute(graph(), {"w": 128}, [parameter])["5"]["inputs"]["width"] == 128


@given(st.dictionaries(st.text(min_size=1, max_size=3), JSON, max_size=5))
def test_what_holds_no_placeholder_stays_as_it_is(inputs: dict[str, Any]) -> None:
    nodes = {"1": {"class_type": "X", "inputs": inputs}}
    assert substitute(nodes, {"prompt": "p", "steps": 3}, []) == nodes


def test_defaults_are_filled_in() -> None:
    assert resolve(spec(), {"prompt": "x"}) == ({"prompt": "x", "steps": 20}, [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "parameter prompt is required; give it in spec.parameters"),
        (
            {"prompt": "x", "step": 3},
            "unknown parameter step; the template has: prompt, seed, steps (did you mean steps?)",
        ),
        ({"prompt": "x", "steps": 61}, "parameter steps: 61 is greater than the maximum of 60"),
        ({"prompt": "x", "steps": "20"}, "parameter steps: '20' is not of type 'integer'"),
        ({"prompt": 3}, "parameter prompt: 3 is not of type 'string'"),
        (
            {"prompt": "x", "seed": -1},
            f"parameter seed: -1 is no seed: that is an integer from 0 to {MAX_SEED}, in quotes if it is over 2^53",
        ),
    ],
)
def test_wrong_values_are_named(given: dict[str, Any], message: str) -> None:
    assert resolve(spec(), given)[1] == [message]


@pytest.mark.parametrize("value", [5, "5"])
def test_a_seed_may_be_a_number_or_a_string(value: object) -> None:
    assert given_seed(spec(), {"seed": value}) == 5


def test_the_largest_seed_is_taken_and_one_more_is_not() -> None:
    assert given_seed(spec(), {"seed": str(MAX_SEED)}) == MAX_SEED
    with pytest.raises(ValueError, match="more than the largest seed"):
        given_seed(spec(), {"seed": str(MAX_SEED + 1)})


def test_the_schema_knows_required_types_and_bounds() -> None:
    schema = parameter_schema(spec())
    assert schema["required"] == ["prompt"]
    assert schema["properties"]["steps"] == {"type": "integer", "default": 20, "minimum": 1, "maximum": 60}


def test_placeholders_are_found_at_any_depth() -> None:
    assert placeholders({"a": ["{{x}} and {{ y }}", {"b": "{{z}}"}], "c": 1}) == {"x", "y", "z"}


TIERS = {"High": "fp16.safetensors", "Low": "fp8.safetensors"}


def with_model(**more: Any) -> WorkflowTemplateSpec:
    model = {"name": "checkpoint", "type": "Model", "targets": [{"node": "4", "input": "ckpt_name"}], **more}
    return spec(parameters=[*template_spec()["parameters"], model])


@pytest.mark.parametrize(
    ("more", "given", "tier", "value"),
    [
        ({"byTier": TIERS}, None, "High", "fp16.safetensors"),
        ({"byTier": TIERS, "default": "bf16.safetensors"}, None, "Low", "fp8.safetensors"),
        ({"byTier": TIERS, "default": "bf16.safetensors"}, None, "Mid", "bf16.safetensors"),
        ({"byTier": TIERS}, "mine.safetensors", "High", "mine.safetensors"),
        ({"default": "bf16.safetensors"}, None, "High", "bf16.safetensors"),
        ({"default": "bf16.safetensors"}, None, None, "bf16.safetensors"),
        ({"byTier": TIERS}, None, None, None),
        ({"byTier": TIERS, "default": "bf16.safetensors"}, None, None, None),
        ({"byTier": TIERS, "required": True}, None, None, None),
    ],
)
def test_a_model_is_the_jobs_or_the_tiers_or_the_default(
    more: dict[str, Any], given: str | None, tier: str | None, value: str | None
) -> None:
    values, problems = resolve(with_model(**more), {"prompt": "x", **({"checkpoint": given} if given else {})}, tier)
    assert (values.get("checkpoint"), problems) == (value, [])


def test_a_tier_without_a_file_is_told_once_the_profile_is_known() -> None:
    template = with_model(byTier=TIERS)
    message = (
        "parameter checkpoint: has no file for profiles of tier Mid; give it in spec.parameters, or have byTier.Mid or "
        "a default added to the template"
    )
    assert resolve(template, {"prompt": "x"}, "Mid")[1] == [message] == tier_problems(template, {}, "Mid")


def test_a_file_is_not_among_the_values() -> None:
    photo = {"name": "photo", "type": "Image", "targets": [{"node": "9", "input": "filename_prefix"}]}
    template = spec(parameters=[*template_spec()["parameters"], photo])
    assert resolve(template, {"prompt": "x"}) == ({"prompt": "x", "steps": 20}, [])
    assert resolve(template, {"prompt": "x", "photo": "a.png"})[1] == [
        "parameter photo is a file (Image): give it in spec.inputs"
    ]
    assert [found.message for found in check_inputs(template, [])] == [
        "parameter photo (Image) needs a file; give it in spec.inputs"
    ]
    assert check_inputs(template, [JobInput(parameter="photo", url="https://host/a.png")]) == []


@pytest.mark.parametrize("seed", [1.8446744073709552e19, 1e17, 2**63])
def test_a_seed_that_has_lost_its_digits_is_not_taken(seed: float) -> None:
    [problem] = resolve(spec(), {"prompt": "x", "seed": seed})[1]
    assert "loses digits as a JSON number; write the integer that is meant in quotes" in problem


@given(st.integers(0, MAX_SEED))
def test_every_seed_is_taken_as_a_string(seed: int) -> None:
    assert resolve(spec(), {"prompt": "x", "seed": str(seed)})[1] == []
    assert given_seed(spec(), {"seed": str(seed)}) == seed
