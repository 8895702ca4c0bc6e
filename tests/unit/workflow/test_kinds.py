"""Files under loaders of another kind."""

from typing import Any

import pytest

from comfyard.api.model_bundle import ModelKind
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.kinds import check_kinds
from comfyard.workflow.object_info import core
from tests.builders import template_spec

PATH = "checkpoints/sd15.safetensors"


def spec(**more: Any) -> WorkflowTemplateSpec:
    return WorkflowTemplateSpec.model_validate(template_spec(**more))


def loading(class_type: str, **inputs: Any) -> WorkflowTemplateSpec:
    """A template whose only output depends on a loader."""
    graph = {
        "1": {"class_type": class_type, "inputs": inputs},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    return spec(graph=graph, parameters=[], outputs=[{"name": "image", "node": "2"}])


def test_what_fits_or_is_not_known_is_fine() -> None:
    fine: list[dict[str, ModelKind]] = [
        {},
        {PATH: "Checkpoint"},
        {PATH: "Unknown"},
        {"checkpoints/another.sft": "Lora"},
    ]
    for kinds in fine:
        assert check_kinds(spec(), kinds, core()) == []


def test_the_message_names_the_node_the_kind_and_the_fix() -> None:
    (found,) = check_kinds(spec(), {PATH: "Lora"}, core())
    assert found.is_error
    assert found.place == ("spec", "graph", "4", "inputs", "ckpt_name")
    assert found.message == (
        f"node 4 (CheckpointLoaderSimple), input ckpt_name: {PATH} is a LoRA, which loaders of folder checkpoints do "
        "not load; put it below loras/ in its bundle and load it with LoraLoader, or name another file"
    )


def test_a_parameter_is_named_with_its_place() -> None:
    parameter = {
        "name": "model",
        "type": "Model",
        "default": "a.safetensors",
        "byTier": {"Low": "b.safetensors"},
        "targets": [{"node": "4", "input": "ckpt_name"}],
    }
    one = spec(parameters=[*template_spec()["parameters"], parameter])
    (found,) = check_kinds(one, {"checkpoints/a.safetensors": "Checkpoint", "checkpoints/b.safetensors": "Vae"}, core())
    assert found.place == ("spec", "parameters", 3, "byTier", "Low")
    assert found.message.startswith("parameter model ")
    assert "checkpoints/b.safetensors is a VAE" in found.message
    (alone,) = check_kinds(one, {"checkpoints/a.safetensors": "DiffusionModel"}, core())
    assert (alone.place, "without the text encoder" in alone.message) == (("spec", "parameters", 3, "default"), True)


def test_a_diffusion_model_alone_is_a_checkpoint_where_nothing_else_is_taken_from_it() -> None:
    (found,) = check_kinds(spec(), {PATH: "DiffusionModel"}, core())
    assert "load it with UNETLoader, CLIPLoader and VAELoader" in found.message
    one = loading("CheckpointLoaderSimple", ckpt_name="sd15.safetensors")
    assert check_kinds(one, {PATH: "DiffusionModel"}, core()) == []


@pytest.mark.parametrize(
    ("class_type", "inputs", "path", "right", "wrong"),
    [
        ("UNETLoader", {"unet_name": "x.sft"}, "diffusion_models/x.sft", {"DiffusionModel", "Checkpoint"}, {"Vae"}),
        (
            "CLIPLoader",
            {"clip_name": "x.sft"},
            "text_encoders/x.sft",
            {"TextEncoder", "ClipVision"},
            {"DiffusionModel"},
        ),
        ("DualCLIPLoader", {"clip_name2": "x.sft"}, "text_encoders/x.sft", {"TextEncoder"}, {"Vae", "Lora"}),
        ("VAELoader", {"vae_name": "x.sft"}, "vae/x.sft", {"Vae"}, {"TextEncoder", "DiffusionModel"}),
        ("LoraLoader", {"lora_name": "x.sft"}, "loras/x.sft", {"Lora"}, {"Checkpoint", "ControlNet", "Embedding"}),
        ("ControlNetLoader", {"control_net_name": "x.sft"}, "controlnet/x.sft", {"ControlNet"}, {"Lora", "ClipVision"}),
        ("CLIPVisionLoader", {"clip_name": "x.sft"}, "clip_vision/x.sft", {"ClipVision"}, {"Vae", "Lora"}),
        ("UpscaleModelLoader", {"model_name": "x.sft"}, "upscale_models/x.sft", {"UpscaleModel"}, {"Vae", "Lora"}),
        ("StyleModelLoader", {"style_model_name": "x.sft"}, "style_models/x.sft", {"Lora", "Vae"}, set[ModelKind]()),
    ],
)
def test_loaders(
    class_type: str, inputs: dict[str, str], path: str, right: set[ModelKind], wrong: set[ModelKind]
) -> None:
    one = loading(class_type, **inputs)
    for kind in right:
        assert check_kinds(one, {path: kind}, core()) == []
    for kind in wrong:
        assert len(check_kinds(one, {path: kind}, core())) == 1
