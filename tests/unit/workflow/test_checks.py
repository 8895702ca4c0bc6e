"""What the checks say of sound graphs (nothing), and how sure they are. What is broken: tests/broken.py."""

from typing import Any

import pytest

from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.findings import Finding, errors, warnings
from comfyard.workflow.models import graph_of, model_choices, model_files, model_paths
from comfyard.workflow.object_info import Knowledge, core, from_object_info
from comfyard.workflow.templates import check_bare_graph, check_template
from tests.broken import CHECKPOINT, SAMPLER, X, at, inputs, lora, photo, template_spec, with_parameter
from tests.builders import graph

COMPLETE = Knowledge(core().classes, complete=True)

PACKAGE = {
    "CurvedSampler": {
        "input": {
            "required": {
                "model": ["MODEL"],
                "curve": ["CURVE"],
                "style": [["flat", "round"], {"default": "flat"}],
                "strength": ["FLOAT", {"min": 0, "max": 1}],
            },
            "optional": {"any": ["*"], "either": ["LATENT,IMAGE"]},
        },
        "output": ["LATENT"],
        "output_node": False,
    }
}
WITH_PACKAGE = Knowledge({**core().classes, **from_object_info(PACKAGE).classes}, complete=True)


def check(spec: dict[str, Any], knowledge: Knowledge | None = None) -> list[Finding]:
    return check_template(WorkflowTemplateSpec.model_validate(spec), knowledge)


def curved(**changes: Any) -> dict[str, Any]:
    """A template that samples with a node of a package."""
    values = {"model": ["4", 0], "curve": ["13", 0], "style": "flat", "strength": 0.5, "either": ["5", 0], **changes}
    nodes = {
        "3": {"class_type": "CurvedSampler", "inputs": values},
        "4": graph()["4"],
        "5": graph()["5"],
        "13": {"class_type": "CurveFromSomewhere", "inputs": {}},
        "8": graph()["8"],
        "9": graph()["9"],
    }
    return template_spec(graph=nodes, parameters=[CHECKPOINT])


SOUND = [
    template_spec(),
    inputs("3", cfg="7.5"),
    inputs("3", cfg=7),
    inputs("3", denoise=True),
    inputs("5", height="64"),
    inputs("5", height=64.0),
    inputs("5", batch_size=True),
    inputs("7", text=5),
    inputs("9", anything={"a": [1]}, whatever=["x"]),
    inputs("9", **{"images.extra": 1}),
    inputs("3", denoise={"__value__": 1}),
    photo(),
    lora("paper.safetensors"),
    lora("sub/folder/paper.pt"),
    with_parameter({**SAMPLER, "type": "String", "choices": []}),
    with_parameter({**X, "type": "Integer", "targets": at("3", "cfg")}),
    with_parameter({**X, "type": "Boolean", "targets": at("5", "batch_size")}),
    with_parameter({**X, "type": "String", "maxLength": 9, "targets": at("9", "filename_prefix")}),
    with_parameter({**CHECKPOINT, "default": None, "byTier": {"Low": "a.safetensors", "High": "b.ckpt"}}),
]


@pytest.mark.parametrize("spec", SOUND, ids=range(len(SOUND)))
def test_nothing_is_said_of_what_works(spec: dict[str, Any]) -> None:
    assert check(spec) == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"any": ["4", 1]},
        {"any": "a word"},
        {"either": ["8", 0]},
        {"strength": "0.25"},
        {"made_up_by_the_editor": {"on": True}},
    ],
)
def test_packages_may_do_what_they_declare(changes: dict[str, Any]) -> None:
    spec = curved(**changes)
    spec["graph"]["8"]["inputs"]["samples"] = ["3", 0] if changes.get("either") != ["8", 0] else ["5", 0]
    if changes.get("either") == ["8", 0]:
        spec["graph"]["14"] = {"class_type": "SaveLatent", "inputs": {"samples": ["3", 0], "filename_prefix": "a"}}
        spec["outputs"].append({"name": "latent", "node": "14"})
    assert [found.message for found in check(spec, Knowledge(WITH_PACKAGE.classes, complete=False))] == [
        "node 13: class CurveFromSomewhere is not known; it must come with the server's image or with custom nodes"
    ]


def test_a_number_that_is_cut_is_told() -> None:
    spec = inputs("5", height=64.9)
    assert [(each.severity, each.message) for each in check(spec)] == [
        ("Warning", "node 5 (EmptyLatentImage), input height: 64.9 is cut to 64; write an integer")
    ]


def test_an_integer_that_only_the_api_server_keeps_is_told() -> None:
    nodes = {**graph(), "5": {**graph()["5"], "inputs": {**graph()["5"]["inputs"], "height": ["25", 0]}}}
    nodes["25"] = {"class_type": "PrimitiveInt", "inputs": {"value": 2**53 + 1}}
    [found] = check(template_spec(graph=nodes))
    assert found.severity == "Warning"
    assert found.message.endswith('read JSON numbers as doubles; write it as "9007199254740993"')


def test_a_choice_that_a_newer_server_may_have_is_only_wrong_for_a_server_that_has_told() -> None:
    spec = inputs("3", scheduler="bong_tangent")
    [told] = warnings(check(spec))
    assert told.startswith('node 3 (KSampler), input scheduler: "bong_tangent" is not among its choices: simple, sgm')
    assert told.endswith("linear_quadratic, kl_optimal; only a newer server could have it")
    assert errors(check(spec, COMPLETE))[0].startswith(
        'node 3 (KSampler), input scheduler: "bong_tangent" is not among'
    )


def test_a_slip_of_the_pen_is_wrong_for_every_server() -> None:
    assert errors(check(inputs("3", scheduler="nomral")))[0].endswith("did you mean normal?")


@pytest.mark.parametrize(
    ("changes", "message", "severity"),
    [
        ({"style": "square"}, '"square" is not among its choices: flat, round', "Warning"),
        (
            {"curve": "0,0 1,1"},
            '"0,0 1,1" is no link; it needs [node id, output] of a node that gives CURVE',
            "Warning",
        ),
        ({"model": "sd15"}, '"sd15" is no link', "Error"),
        ({"strength": 2}, "2 is more than 1", "Error"),
        (
            {"either": ["4", 2]},
            "takes LATENT,IMAGE, but output 2 of node 4 (CheckpointLoaderSimple) gives VAE",
            "Error",
        ),
    ],
)
def test_of_packages_less_is_certain(changes: dict[str, Any], message: str, severity: str) -> None:
    found = check(curved(**changes), Knowledge(WITH_PACKAGE.classes, complete=False))
    assert [(each.severity, message in each.message) for each in found if "node 3 " in each.message] == [
        (severity, True)
    ]


DYNAMIC = {
    "Stitch": {
        "input": {
            "required": {
                "images": [
                    "COMFY_AUTOGROW_V3",
                    {
                        "template": {
                            "input": {"required": {"image": ["IMAGE", {}]}},
                            "prefix": "image",
                            "min": 2,
                            "max": 4,
                        }
                    },
                ],
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {"key": "grid", "inputs": {"required": {"columns": ["INT", {"min": 1, "max": 5}]}}},
                            {"key": "row", "inputs": {"required": {}}},
                        ]
                    },
                ],
            },
        },
        "output": ["IMAGE"],
        "output_node": True,
    },
    "LoadImage": {"input": {"required": {"image": [[], {"image_upload": True}]}}, "output": ["IMAGE", "MASK"]},
}


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"mode": "row"}, []),
        ({"mode": "grid", "mode.columns": 3}, []),
        ({"mode": "row", "images.image2": ["1", 0], "images.image3": ["1", 0], "mode.columns": 99}, []),
        ({"mode": "grid"}, ["node 2 (Stitch), input mode.columns: is missing; give it a value (INT)"]),
        (
            {"mode": "grid", "mode.columns": 6},
            ["node 2 (Stitch), input mode.columns: 6 is more than 5, the most that it takes"],
        ),
        ({"mode": "row", "images.image1": None}, ["node 2 (Stitch), input images.image1: None is no link; it needs"]),
        (
            {"mode": "row", "images.image1": ["1", 1]},
            ["node 2 (Stitch), input images.image1: takes IMAGE, but"],
        ),
    ],
)
def test_dynamic_inputs_are_known_by_their_names_with_dots(changes: dict[str, Any], messages: list[str]) -> None:
    values = {"images.image0": ["1", 0], "images.image1": ["1", 0], **changes}
    nodes = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png", "upload": "image"}},
        "2": {"class_type": "Stitch", "inputs": values},
    }
    found = check_bare_graph(nodes, from_object_info(DYNAMIC))
    assert len(found) == len(messages)
    assert all(each.message.startswith(message) for each, message in zip(found, messages, strict=True))


def test_an_absent_class_is_wrong_where_all_are_known() -> None:
    spec = curved()
    assert errors(check(spec)) == []
    assert errors(check(spec, WITH_PACKAGE)) == [
        "node 13: no server has the class CurveFromSomewhere; install the package that brings it"
    ]
    spec["graph"]["9"]["class_type"] = "SaveImages"
    assert "did you mean SaveImage?" in errors(check(spec, WITH_PACKAGE))[-1]


def test_paid_services_change_with_every_release() -> None:
    nodes = {
        "1": {"class_type": "WanTextToVideoApi", "inputs": {"model": "wan9-t2v", "prompt": "a", "gone": 1}},
        "2": {"class_type": "SaveVideo", "inputs": {"video": ["1", 3], "filename_prefix": "a", "format": "auto"}},
    }
    nodes["2"]["inputs"]["codec"] = "auto"  # type: ignore[index]  # a dict
    found = check(template_spec(graph=nodes, parameters=[], outputs=[{"name": "v", "node": "2"}]))
    assert errors(found) == []
    assert any('"wan9-t2v" is not among its choices' in each for each in warnings(found))


def test_what_no_output_needs_is_told_once_and_not_judged() -> None:
    changed = {**graph(), "20": {"class_type": "KSampler", "inputs": {}}, "21": {"class_type": "What", "inputs": {}}}
    [found] = check(template_spec(graph=changed))
    assert found.severity == "Warning"
    assert "they are left out: 20 (KSampler), 21 (What); name their output nodes, or delete them" in found.message


def test_a_misspelt_optional_input_is_told() -> None:
    changed = graph()
    changed["4"] = {"class_type": "UNETLoader", "inputs": {"unet_name": "a.safetensors", "weight_dtype": "default"}}
    changed["6"]["inputs"]["clip"] = changed["7"]["inputs"]["clip"] = ["22", 0]
    changed["8"]["inputs"]["vae"] = ["23", 0]
    values = {"clip_name": "t5.safetensors", "type": "sd3", "devcie": "cpu"}
    changed["22"] = {"class_type": "CLIPLoader", "inputs": values}
    changed["23"] = {"class_type": "VAELoader", "inputs": {"vae_name": "pixel_space"}}
    spec = template_spec(graph=changed)
    spec["parameters"] = [each for each in spec["parameters"] if each["name"] != "checkpoint"]
    assert [each.message for each in check(spec)] == [
        "node 22 (CLIPLoader), input devcie: class CLIPLoader has no such input; did you mean device?"
    ]
    assert model_paths(WorkflowTemplateSpec.model_validate(spec)) == [
        "diffusion_models/a.safetensors",
        "text_encoders/t5.safetensors",
    ]


def test_a_word_for_false_that_counts_as_true_is_told() -> None:
    name, known = next(
        (name, each)
        for name, each in core().classes.items()
        if each.output_node and any(one.type == "BOOLEAN" and one.required for one in each.inputs.values())
    )
    flag = next(one.name for one in known.inputs.values() if one.type == "BOOLEAN")
    found = check_bare_graph({"1": {"class_type": name, "inputs": {flag: "false"}}})
    told = f'node 1 ({name}), input {flag}: the text "false" counts as true; write false without quotes'
    assert told in warnings(found)


def test_a_graph_without_a_result_is_told() -> None:
    [found] = check_bare_graph({"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a"}}})
    assert found.message == "the graph has no output node, so that ComfyUI would do nothing; add one, such as SaveImage"


def test_a_job_may_name_what_the_bundles_provide_in_the_folder() -> None:
    spec = WorkflowTemplateSpec.model_validate(template_spec())
    there = ["checkpoints/b.safetensors", "loras/c.safetensors", "checkpoints/sub/a.safetensors"]
    assert model_choices(spec, there) == {"checkpoint": ["b.safetensors", "sub/a.safetensors"]}


def test_a_job_loads_the_file_that_it_names() -> None:
    spec = WorkflowTemplateSpec.model_validate(template_spec())
    assert model_files(graph_of(spec, {"checkpoint": "other.safetensors"})) == ["checkpoints/other.safetensors"]
    assert model_paths(spec) == ["checkpoints/sd15.safetensors"]
