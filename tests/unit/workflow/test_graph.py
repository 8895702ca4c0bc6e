from typing import Any

import pytest

from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.graph import ancestors, check_graph, model_files, node_classes, prune
from comfyard.workflow.templates import check_template, model_paths
from tests.builders import graph, template_spec


def spec(**more: Any) -> WorkflowTemplateSpec:
    return WorkflowTemplateSpec.model_validate(template_spec(**more))


def test_a_good_template_has_no_problems() -> None:
    assert check_template(spec()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"7": {"class_type": "X"}}, "node 7: inputs must be an object, {} if it has none"),
        ({"7": {"class_type": "X", "inputs": None}}, "node 7: inputs must be an object, {} if it has none"),
        ({"7": {"inputs": {}}}, "node 7: class_type must name a node class"),
        ({"7": "X"}, "node 7: must be an object with class_type and inputs"),
        (
            {"7": {"class_type": "X", "inputs": {"a": ["99", 0]}}},
            "node 7: input a is linked to node 99, which is not there",
        ),
    ],
)
def test_a_misshapen_node_is_named(change: dict[str, Any], message: str) -> None:
    assert check_graph({**graph(), **change}) == [message]


def test_the_editors_format_is_recognised() -> None:
    assert "Export (API)" in check_graph({"nodes": [], "links": []})[0]


def test_an_empty_graph_is_told_how_to_fill() -> None:
    assert "Export (API)" in check_graph({})[0]


def test_a_graph_that_an_object_cannot_carry_is_refused() -> None:
    big = {**graph(), "7": {"class_type": "X", "inputs": {"text": "x" * 100_000}}}
    assert "more than the 100000" in check_graph(big)[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"outputs": [{"name": "image", "node": "77"}]}, "output image: node 77 is not in the graph"),
        (
            {"parameters": [{"name": "prompt", "type": "String", "required": True}, {"name": "seed", "type": "Seed"}]},
            "{{steps}} stands in the graph but is not among spec.parameters; declared are: prompt, seed",
        ),
    ],
)
def test_a_template_that_does_not_fit_its_graph_is_told_why(more: dict[str, Any], message: str) -> None:
    assert check_template(spec(**more)) == [message]


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"name": "x", "type": "String", "required": True}, "goes nowhere"),
        ({"name": "x", "type": "String", "targets": [{"node": "6", "input": "text"}]}, "needs a default, or required"),
        (
            {"name": "x", "type": "String", "required": True, "targets": [{"node": "66", "input": "text"}]},
            "target node 66 is not in the graph",
        ),
        (
            {"name": "x", "type": "String", "required": True, "targets": [{"node": "3", "input": "model"}]},
            "is linked; only a literal can be set",
        ),
        (
            {"name": "x", "type": "Integer", "default": "a", "targets": [{"node": "5", "input": "width"}]},
            "its default is wrong: 'a' is not of type 'integer'",
        ),
        ({"name": "x", "type": "Seed", "targets": [{"node": "3", "input": "seed"}]}, "more than one Seed"),
    ],
)
def test_a_wrong_parameter_is_told_why(parameter: dict[str, Any], message: str) -> None:
    found = check_template(spec(parameters=[*template_spec()["parameters"], parameter]))
    assert len(found) == 1
    assert message in found[0]


def test_models_are_found_by_the_input_that_names_them() -> None:
    assert model_files(graph()) == [("checkpoints", "sd15.safetensors")]
    assert model_paths(spec()) == ["checkpoints/sd15.safetensors"]


def test_only_what_the_outputs_need_is_kept() -> None:
    assert ancestors(graph(), ["9"]) == {"3", "4", "5", "8", "9"}
    assert set(prune(graph(), ["6"])) == {"4", "6"}


def test_classes_are_named_once() -> None:
    assert node_classes({**graph(), "7": graph()["6"]}).count("CLIPTextEncode") == 1
