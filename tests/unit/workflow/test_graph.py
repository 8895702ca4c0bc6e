from typing import Any

from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.graph import ancestors, node_classes, prune
from comfyard.workflow.models import model_files, model_paths
from comfyard.workflow.templates import check_template
from tests.builders import graph, template_spec


def spec(**more: Any) -> WorkflowTemplateSpec:
    return WorkflowTemplateSpec.model_validate(template_spec(**more))


def test_a_good_template_has_no_problems() -> None:
    assert check_template(spec()) == []


def test_models_are_found_by_the_input_that_names_them() -> None:
    assert model_files(graph()) == ["checkpoints/sd15.safetensors"]
    assert model_paths(spec()) == ["checkpoints/sd15.safetensors"]


def test_only_what_the_outputs_need_is_kept() -> None:
    assert ancestors(graph(), ["9"]) == {"3", "4", "5", "6", "7", "8", "9"}
    assert set(prune(graph(), ["6"])) == {"4", "6"}


def test_classes_are_named_once() -> None:
    assert node_classes(graph()).count("CLIPTextEncode") == 1
