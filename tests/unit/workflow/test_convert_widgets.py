from typing import Any

import pytest

from comfyard.workflow.conversion.editor import Node
from comfyard.workflow.conversion.widgets import LayoutError, Values, fits, read_widgets
from comfyard.workflow.node_class import Input, NodeClass
from comfyard.workflow.object_info import core, from_object_info

SAMPLER = {"steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}


def known(name: str) -> NodeClass:
    return core().classes[name]


def made(required: dict[str, Any], optional: dict[str, Any] | None = None) -> NodeClass:
    """A class that a server tells of."""
    entry = {"input": {"required": required, "optional": optional or {}}, "output": []}
    return from_object_info({"Made": entry}).classes["Made"]


def node(kind: str, values: Any, **more: Any) -> Node:
    return Node.model_validate({"id": 1, "type": kind, "widgets_values": values, **more})


def read(kind: str, values: Any, **more: Any) -> Values:
    return read_widgets(node(kind, values, **more), known(kind))


@pytest.mark.parametrize(
    "values",
    [
        [7, "randomize", 20, 8.0, "euler", "normal", 1.0],
        [7, "fixed", 20, 8.0, "euler", "normal", 1.0],
        [7, True, 20, 8.0, "euler", "normal", 1.0],
        [7, 20, 8.0, "euler", "normal", 1.0],
        {"seed": 7, **SAMPLER, "control_after_generate": "fixed"},
    ],
    ids=["with what happens to the seed", "likewise", "as in 2023", "without", "by name"],
)
def test_a_seed_and_what_happens_to_it(values: Any) -> None:
    assert read("KSampler", values) == Values({"seed": 7, **SAMPLER})


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("LoadImage", ["a.png", "image"], {"image": "a.png"}),
        ("LoadImage", ["a.png"], {"image": "a.png"}),
        ("LoadImage", ["a.png", {"type": "button", "label": "choose file to upload"}], {"image": "a.png"}),
        ("LoadAudio", ["a.mp3", None, ""], {"audio": "a.mp3"}),
        ("PreviewAny", [None, None, False], {}),
        ("CLIPTextEncode", None, {}),
        ("SaveImage", [], {}),
    ],
)
def test_buttons_and_previews_are_no_inputs(kind: str, values: Any, expected: dict[str, Any]) -> None:
    assert read(kind, values) == Values(expected)


def test_inputs_below_an_upload_come_after_its_button() -> None:
    upload = {"image_upload": True}
    node_class = made({"image": [["a.png"], upload], "x": ["INT"]}, {"note": ["STRING"]})
    assert read_widgets(node("Made", ["a.png", 3, "image", "words"]), node_class).by_input == {
        "image": "a.png",
        "x": 3,
        "note": "words",
    }


def test_a_choice_that_is_changed_after_a_run_has_a_filter_too() -> None:
    node_class = made({"style": [["a", "b"], {"control_after_generate": True}], "text": ["STRING"]})
    assert read_widgets(node("Made", ["b", "increment", "", "words"]), node_class).by_input == {
        "style": "b",
        "text": "words",
    }


FORMAT = {
    "options": [
        {"key": "png", "inputs": {}},
        {
            "key": "video",
            "inputs": {
                "required": {
                    "seed": ["INT", {}],
                    "codec": [
                        "COMFY_DYNAMICCOMBO_V3",
                        {
                            "options": [
                                {"key": "auto", "inputs": {}},
                                {"key": "h264", "inputs": {"required": {"crf": ["FLOAT", {}]}}},
                            ]
                        },
                    ],
                }
            },
        },
    ]
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["png", "out"], {"format": "png", "prefix": "out"}),
        (
            ["video", 5, "auto", "out"],
            {"format": "video", "format.seed": 5, "format.codec": "auto", "prefix": "out"},
        ),
        (
            ["video", 5, "h264", 2.5, "out"],
            {"format": "video", "format.seed": 5, "format.codec": "h264", "format.codec.crf": 2.5, "prefix": "out"},
        ),
    ],
)
def test_widgets_that_a_choice_brings(values: list[Any], expected: dict[str, Any]) -> None:
    node_class = made(
        {
            "format": ["COMFY_DYNAMICCOMBO_V3", FORMAT],
            "images": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE"]}}, "max": 3}}],
            "prefix": ["STRING", {}],
        }
    )
    assert read_widgets(node("Made", values), node_class) == Values(expected)


def test_widgets_that_a_link_brings() -> None:
    slot = {"slotType": "IMAGE", "inputs": {"required": {"strength": ["FLOAT", {}]}}}
    node_class = made({"image": ["COMFY_DYNAMICSLOT_V3", slot], "text": ["STRING", {}]})
    assert read_widgets(node("Made", ["words"]), node_class).by_input == {"text": "words"}
    linked = node("Made", [0.5, "words"], inputs=[{"name": "image", "type": "IMAGE", "link": 3}])
    assert read_widgets(linked, node_class).by_input == {"image.strength": 0.5, "text": "words"}


def test_the_files_own_names_count_for_their_order_but_not_for_the_values() -> None:
    names = {"unet_name": "old.safetensors", "newer": 1, "weight_dtype": "default"}
    found = read("UNETLoader", ["new.safetensors", 5, "fp8_e4m3fn"], widgets_values_named=names)
    assert found == Values({"unet_name": "new.safetensors", "weight_dtype": "fp8_e4m3fn"}, (5,))


@pytest.mark.parametrize(
    "names", [{"unet_name": "x"}, {"model": "x", "weight_dtype": "default"}], ids=["too few", "of another class"]
)
def test_names_that_cannot_be_those_of_the_values_do_not_count(names: dict[str, Any]) -> None:
    found = read("UNETLoader", ["a.safetensors", "default"], widgets_values_named=names)
    assert found == Values({"unet_name": "a.safetensors", "weight_dtype": "default"})


def test_a_newer_file_has_values_for_more_widgets() -> None:
    assert read("CreateVideo", [24, "8-bit", "sRGB"]) == Values({"fps": 24}, ("8-bit", "sRGB"))
    assert read("CLIPLoader", ["a.safetensors", "flux9", "default", 3]) == Values(
        {"clip_name": "a.safetensors", "type": "flux9", "device": "default"}, (3,)
    )


def test_an_older_file_has_values_for_fewer_widgets() -> None:
    assert read("CLIPLoader", ["a.safetensors", "wan"]) == Values({"clip_name": "a.safetensors", "type": "wan"})


@pytest.mark.parametrize(
    ("kind", "values", "name"),
    [
        ("EmptyLatentImage", ["words", 512, 1], "width"),
        ("KSampler", [7, "randomize", 20, 8.0, "normal", "randomize", 1.0], "scheduler"),
        ("CLIPLoader", ["a.safetensors", "flux9", "gpu", 3], "device"),
        ("EmptyLatentImage", [512, 512, 0, 1], "batch_size"),
    ],
    ids=["words for a number", "what happens to a seed", "no choice and one more", "below the limit and one more"],
)
def test_values_that_make_no_sense_where_they_land(kind: str, values: list[Any], name: str) -> None:
    with pytest.raises(LayoutError, match=f"would be that of {name}, where it makes no sense"):
        read(kind, values)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("INT", 3, True),
        ("INT", "64", True),
        ("INT", "words", False),
        ("INT", True, False),
        ("INT", [3], False),
        ("FLOAT", 3, True),
        ("FLOAT", None, True),
        ("STRING", "", True),
        ("STRING", 3, True),
        ("STRING", False, False),
        ("BOOLEAN", True, True),
        ("BOOLEAN", "true", False),
        ("CURVE", {"points": []}, True),
    ],
)
def test_which_values_a_type_takes(kind: str, value: object, expected: bool) -> None:  # noqa: FBT001
    assert fits(Input("x", kind), value) is expected
