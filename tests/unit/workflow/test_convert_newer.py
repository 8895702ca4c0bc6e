"""Classes that are newer than the facts here, as their servers tell of them: inputs that come and go."""

from typing import Any

import pytest

from comfyard.workflow.conversion.convert import ConversionError, convert
from comfyard.workflow.object_info import Knowledge, core, from_object_info
from tests.unit.workflow.sketch import Sketch

IMAGES = {"template": {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 2, "max": 50}}
VALUES = {"template": {"input": {"optional": {"value": ["FLOAT,INT", {}]}}, "names": ["a", "b", "c"], "min": 1}}
ANYTHING = ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "switch", "allowed_types": "*"}}]
NUMBER = ["INT", {"default": 512, "min": 0, "max": 16384}]
RESIZE = {
    "options": [
        {"key": "size", "inputs": {"required": {"width": NUMBER, "height": NUMBER}}},
        {"key": "longer", "inputs": {"required": {"longer_size": NUMBER}}},
    ]
}


def entry(output: str, required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"input": {"required": required, "optional": optional or {}}, "output": [output], "output_node": False}


@pytest.fixture(scope="module")
def newer() -> Knowledge:
    classes = {
        "BatchImagesNode": entry("IMAGE", {"images": ["COMFY_AUTOGROW_V3", IMAGES]}),
        "ComfyMathExpression": entry("INT", {"expression": ["STRING", {}], "values": ["COMFY_AUTOGROW_V3", VALUES]}),
        "ComfySwitchNode": entry(
            "COMFY_MATCHTYPE_V3", {"switch": ["BOOLEAN", {}]}, {"on_false": ANYTHING, "on_true": ANYTHING}
        ),
        "CustomCombo": entry("STRING", {"choice": ["COMBO", {"options": []}]}),
        "ImageCompare": entry(
            "IMAGE", {"compare_view": ["IMAGECOMPARE", {"socketless": True}]}, {"image_a": ["IMAGE"]}
        ),
        "ResizeImageMaskNode": entry(
            "COMFY_MATCHTYPE_V3",
            {
                "input": ANYTHING,
                "resize_type": ["COMFY_DYNAMICCOMBO_V3", RESIZE],
                "scale_method": [["area", "lanczos"], {"default": "area"}],
            },
        ),
    }
    return Knowledge({**core().classes, **from_object_info(classes).classes}, complete=True)


def inputs(sketch: Sketch, knowledge: Knowledge, node_id: str) -> dict[str, Any]:
    found: dict[str, Any] = convert(sketch.file(), knowledge).graph[node_id]["inputs"]
    return found


def images(knowledge: Knowledge) -> Sketch:
    return Sketch(knowledge).add(1, "LoadImage", ["a.png", "image"]).add(2, "LoadImage", ["b.png", "image"])


def test_inputs_that_grow(newer: Knowledge) -> None:
    links = {"images.image0": (1, 0), "images.image1": (2, 0), "images.image2": None}
    sketch = images(newer).add(3, "BatchImagesNode", [], links).add(4, "SaveImage", ["out"], {"images": (3, 0)})
    assert inputs(sketch, newer, "3") == {"images.image0": ["1", 0], "images.image1": ["2", 0]}


def test_fewer_than_it_needs(newer: Knowledge) -> None:
    sketch = images(newer).add(3, "BatchImagesNode", [], {"images.image0": (1, 0)})
    sketch.add(4, "SaveImage", ["out"], {"images": (3, 0)})
    with pytest.raises(ConversionError, match=r"node 3 \(BatchImagesNode\): input images.image1 is not linked"):
        convert(sketch.file(), newer)


def test_a_value_of_a_widget_elsewhere_for_an_input_that_has_none(newer: Knowledge) -> None:
    sketch = Sketch(newer).add(1, "PrimitiveNode", [5, "fixed"]).add(2, "PrimitiveInt", [7, "fixed"])
    sketch.add(3, "ComfyMathExpression", ["a * b"], {"values.a": (1, 0), "values.b": (2, 0)})
    assert inputs(sketch, newer, "3") == {"expression": "a * b", "values.a": 5, "values.b": ["2", 0]}


def test_inputs_of_any_type(newer: Knowledge) -> None:
    sketch = images(newer).add(3, "ComfySwitchNode", [True], {"on_false": (1, 0), "on_true": (2, 0)})
    assert inputs(sketch, newer, "3") == {"switch": True, "on_false": ["1", 0], "on_true": ["2", 0]}


@pytest.mark.parametrize(
    ("values", "links", "expected"),
    [
        (
            ["size", 640, 480, "lanczos"],
            {},
            {
                "resize_type": "size",
                "resize_type.width": 640,
                "resize_type.height": 480,
                "scale_method": "lanczos",
            },
        ),
        (
            ["longer", 640, "lanczos"],
            {"resize_type.longer_size": (9, 0)},
            {"resize_type": "longer", "resize_type.longer_size": ["9", 0], "scale_method": "lanczos"},
        ),
        (
            ["longer"],
            {},
            {"resize_type": "longer", "resize_type.longer_size": 512, "scale_method": "area"},
        ),
    ],
)
def test_inputs_that_a_choice_brings(
    newer: Knowledge, values: list[Any], links: dict[str, Any], expected: dict[str, Any]
) -> None:
    sketch = images(newer).add(9, "PrimitiveInt", [1024, "fixed"])
    sketch.add(3, "ResizeImageMaskNode", values, {"input": (1, 0), **links})
    assert inputs(sketch, newer, "3") == {"input": ["1", 0], **expected}


def test_an_input_that_only_the_editor_knows(newer: Knowledge) -> None:
    sketch = Sketch(newer).add(3, "CustomCombo", ["dusk", 1, "dawn", "dusk", ""])
    assert inputs(sketch, newer, "3") == {"choice": "dusk", "index": 1}


def test_a_widget_that_only_shows_something(newer: Knowledge) -> None:
    sketch = images(newer).add(3, "ImageCompare", [], {"image_a": (1, 0)})
    assert inputs(sketch, newer, "3") == {"compare_view": {"__value__": ["", ""]}, "image_a": ["1", 0]}


def test_a_link_to_an_input_that_the_class_does_not_have(newer: Knowledge) -> None:
    done = convert(images(newer).add(3, "SaveImage", ["out"], {"images": (1, 0), "mask": (1, 1)}).file(), newer)
    assert done.graph["3"]["inputs"] == {"images": ["1", 0], "filename_prefix": "out"}
    assert done.notes == ["node 3 (SaveImage): the link to mask left out, as its class has no such input here"]
