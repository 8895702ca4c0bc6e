from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from comfyard.workflow.node_class import Input, NodeClass, Output
from comfyard.workflow.object_info import core, from_object_info
from comfysim.folder_paths import FolderPaths
from comfysim.node_catalog import NodeCatalog


def told(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> NodeClass:
    entry = {"input": {"required": required, "optional": optional or {}}, "output": [], **more}
    return from_object_info({"Made": entry}).classes["Made"]


def test_core_is_what_a_server_without_custom_nodes_tells(tmp_path: Path) -> None:
    info = NodeCatalog(FolderPaths.make(str(tmp_path))).all_object_info()
    server = from_object_info(info)
    assert server.complete
    assert not core().complete
    assert set(server.classes) == set(core().classes)
    for name, node_class in core().classes.items():
        inputs = {each: replace(found, options={}) for each, found in server.classes[name].inputs.items()}
        assert inputs == {each: replace(found, options={}) for each, found in node_class.inputs.items()}
        assert list(inputs) == list(node_class.inputs)
        assert replace(server.classes[name], inputs={}) == replace(node_class, inputs={})


def test_a_class_as_a_whole() -> None:
    sampler = core().classes["KSamplerAdvanced"]
    assert list(sampler.inputs)[:4] == ["model", "add_noise", "noise_seed", "steps"]
    seed = sampler.inputs["noise_seed"]
    assert (seed.type, seed.minimum, seed.maximum) == ("INT", 0, 2**64 - 1)
    assert seed.control_after_generate
    assert sampler.inputs["add_noise"].choices == ("enable", "disable")
    assert sampler.outputs == (Output("LATENT", "LATENT"),)
    save = core().classes["SaveImage"]
    assert save.output_node
    assert save.hidden == {"prompt", "extra_pnginfo"}
    assert core().classes["KlingTextToVideoNode"].api_node
    assert core().find("FaceDetailer") is None


@pytest.mark.parametrize(
    ("kind", "name", "folder", "fixed"),
    [
        ("CheckpointLoaderSimple", "ckpt_name", "checkpoints", ()),
        ("VAELoader", "vae_name", "vae", ("taesd", "taesdxl", "taesd3", "taef1", "pixel_space")),
        ("LoadImage", "image", "input", ()),
        ("LoadImageOutput", "image", "output", ()),
        ("KSampler", "sampler_name", None, ()),
    ],
)
def test_inputs_that_name_files(kind: str, name: str, folder: str | None, fixed: tuple[str, ...]) -> None:
    found = core().classes[kind].inputs[name]
    assert (found.folder, found.fixed, found.choices is None) == (folder, fixed, folder is not None)


@pytest.mark.parametrize(
    ("spec", "choices"),
    [
        ([["a", "b"]], ("a", "b")),
        ([["a", "b"], {"default": "b"}], ("a", "b")),
        (["COMBO", {"options": ["a", 2]}], ("a", 2)),
        (["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "a", "inputs": {}}]}], ("a",)),
        ([["x.safetensors", "none"]], None),
        ([[]], None),
        (["COMBO", {"remote": {"route": "/x"}}], None),
    ],
    ids=["list", "list with options", "V3", "dynamic", "files", "no files yet", "from elsewhere"],
)
def test_choices(spec: list[Any], choices: tuple[Any, ...] | None) -> None:
    assert told({"x": spec}).inputs["x"].choices == choices


def test_the_order_of_declaration_counts() -> None:
    order = {"required": ["b", "a"], "optional": ["c"]}
    node_class = told({"a": ["INT"], "b": ["INT"]}, {"c": ["INT"]}, input_order=order)
    assert [(each.name, each.required) for each in node_class.inputs.values()] == [
        ("b", True),
        ("a", True),
        ("c", False),
    ]


def test_numbers_that_have_a_widget_for_what_happens_after_a_run() -> None:
    node_class = told(
        {
            "seed": ["INT"],
            "noise_seed": ["INT", {"control_after_generate": False}],
            "number": ["INT", {"control_after_generate": "fixed"}],
            "steps": ["INT"],
        }
    )
    with_control = [each.name for each in node_class.inputs.values() if each.control_after_generate]
    assert with_control == ["seed", "number"]


@pytest.mark.parametrize(
    ("spec", "widget", "literal"),
    [
        (["INT", {}], True, True),
        (["INT", {"forceInput": True}], False, True),
        (["MODEL"], False, False),
        (["*"], False, True),
        (["COMFY_MATCHTYPE_V3", {"template": {"allowed_types": "*"}}], False, True),
        (["FLOAT,INT", {}], False, True),
        (["FLOAT,INT", {"widgetType": "FLOAT"}], True, True),
        (["CURVE", {"socketless": True}], True, True),
        (["IMAGECOMPARE", {"socketless": True}], False, True),
        (["LOAD_3D", {}], True, True),
    ],
)
def test_what_has_a_widget_and_what_takes_a_value(spec: list[Any], widget: bool, literal: bool) -> None:  # noqa: FBT001
    found = told({"x": spec}).inputs["x"]
    assert (found.has_widget, found.takes_literal) == (widget, literal)


@pytest.mark.parametrize(
    ("each", "given", "accepted"),
    [
        (Input("x", "IMAGE"), "IMAGE", True),
        (Input("x", "IMAGE"), "MASK", False),
        (Input("x", "IMAGE,MASK"), "MASK", True),
        (Input("x", "INT"), "FLOAT,INT", True),
        (Input("x", "*"), "MASK", True),
        (Input("x", "IMAGE"), "*", True),
        (Input("x", "IMAGE"), "COMFY_MATCHTYPE_V3", True),
        (Input("x", "COMFY_MATCHTYPE_V3", options={"template": {"allowed_types": "IMAGE,MASK"}}), "MASK", True),
        (Input("x", "COMFY_MATCHTYPE_V3", options={"template": {"allowed_types": "IMAGE,MASK"}}), "VAE", False),
        (Input("x", "COMFY_DYNAMICSLOT_V3", options={"slotType": "VAE"}), "VAE", True),
        (Input("x", "COMFY_DYNAMICSLOT_V3", options={"slotType": "VAE"}), "CLIP", False),
    ],
)
def test_which_outputs_an_input_accepts(each: Input, given: str, accepted: bool) -> None:  # noqa: FBT001
    assert each.accepts(given) is accepted


IMAGES = {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1, "max": 3}}
NAMED = {"template": {"input": {"required": {}, "optional": {"v": ["INT", {}]}}, "names": ["a", "b"], "min": 1}}
SIZES = {
    "options": [
        {"key": "factor", "inputs": {"required": {"by": ["FLOAT", {}]}}},
        {"key": "images", "inputs": {"required": {"like": ["COMFY_AUTOGROW_V3", IMAGES]}, "optional": {"n": ["INT"]}}},
    ]
}
ROWS = {"template": {"required": {"name": ["STRING"]}, "optional": {"weight": ["FLOAT"]}}, "min": 0, "max": 5}
SLOT = {"slotType": "IMAGE", "inputs": {"required": {"strength": ["FLOAT", {}]}}}


@pytest.mark.parametrize(
    ("spec", "values", "expected"),
    [
        (["COMFY_AUTOGROW_V3", IMAGES], {}, {"x.image0": True, "x.image1": False, "x.image2": False}),
        (["COMFY_AUTOGROW_V3", NAMED], {}, {"x.a": False, "x.b": False}),
        (["COMFY_DYNAMICCOMBO_V3", SIZES], {}, {"x": True}),
        (["COMFY_DYNAMICCOMBO_V3", SIZES], {"x": "factor"}, {"x": True, "x.by": True}),
        (
            ["COMFY_DYNAMICCOMBO_V3", SIZES],
            {"x": "images"},
            {"x": True, "x.like.image0": True, "x.like.image1": False, "x.like.image2": False, "x.n": False},
        ),
        (["COMFY_DYNAMICSLOT_V3", SLOT], {}, {"x": True}),
        (["COMFY_DYNAMICSLOT_V3", SLOT], {"x": ["1", 0]}, {"x": True, "x.strength": True}),
        (["COMFY_DYNAMICGROUP_V3", ROWS], {}, {}),
        (
            ["COMFY_DYNAMICGROUP_V3", ROWS],
            {"x.2.name": "b", "x.0.name": "a", "xx.1.name": "c"},
            {"x.0.name": True, "x.0.weight": False, "x.2.name": True, "x.2.weight": False},
        ),
    ],
)
def test_dynamic_inputs_are_written_out(spec: list[Any], values: dict[str, Any], expected: dict[str, bool]) -> None:
    inputs = told({"x": spec}).inputs_for(values)
    assert {name: each.required for name, each in inputs.items()} == expected


def test_inputs_that_grow_are_always_links() -> None:
    grown = told({"x": ["COMFY_AUTOGROW_V3", NAMED]}).inputs_for({})["x.a"]
    assert (grown.type, grown.has_widget) == ("INT", False)


@pytest.mark.parametrize("answer", [{"A": {}}, {"A": 1}, [1], {"A": {"input": {"required": {"x": []}}, "output": []}}])
def test_what_is_no_object_info(answer: Any) -> None:
    with pytest.raises(ValueError, match="this is not an answer of ComfyUI to GET /object_info"):
        from_object_info(answer)


def test_a_class_that_cannot_be_read_is_left_out_and_may_be_there() -> None:
    sound = {"input": {"required": {}}, "output": []}
    knowledge = from_object_info({"Sound": sound, "Odd": {"input": {"required": {"x": []}}, "output": []}})
    assert (set(knowledge.classes), knowledge.complete) == ({"Sound"}, False)
