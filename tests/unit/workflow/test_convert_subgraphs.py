from typing import Any

from comfyard.workflow.conversion.convert import convert
from comfyard.workflow.object_info import core
from tests.unit.workflow.sketch import INPUTS, Sketch

BYPASSED = 4


def inputs(workflow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node_id: node["inputs"] for node_id, node in convert(workflow, core()).graph.items()}


def scaling(values: list[Any]) -> dict[str, Any]:
    """A subgraph with a picture and two promoted widgets, one of them of two nodes."""
    sketch = Sketch().add(4, "ImageScale", values, {"image": (INPUTS, 0), "width": (INPUTS, 1), "height": (INPUTS, 2)})
    sketch.add(5, "ImageScale", ["area", 1, 2, "disabled"], {"image": (4, 0), "width": (INPUTS, 1)})
    return sketch.give(0, (5, 0)).subgraph("scaling", ["image", "width", "tall"], ["IMAGE"])


def using(*use: dict[str, Any]) -> Sketch:
    sketch = Sketch().add(1, "LoadImage", ["a.png", "image"])
    for number, each in enumerate(use):
        node_id = 57 + number
        sketch.add(node_id, "scaling", **each).add(node_id + 100, "SaveImage", ["out"], {"images": (node_id, 0)})
    return sketch


def test_ids_are_those_of_the_nodes_that_lead_there() -> None:
    graph = inputs(using({"links": {"image": (1, 0)}}).file(scaling(["area", 640, 480, "center"])))
    assert list(graph) == ["1", "57:4", "57:5", "157"]
    assert graph["57:4"] == {
        "image": ["1", 0],
        "upscale_method": "area",
        "width": 640,
        "height": 480,
        "crop": "center",
    }
    assert graph["57:5"]["image"] == ["57:4", 0]
    assert graph["157"]["images"] == ["57:5", 0]


def test_one_widget_for_two_nodes_has_one_value() -> None:
    graph = inputs(using({"links": {"image": (1, 0)}}).file(scaling(["area", 640, 480, "center"])))
    assert graph["57:5"]["width"] == 640


def test_every_use_has_the_values_that_its_own_widgets_show() -> None:
    link = {"image": (1, 0)}
    sketch = using({"values": [100, 200], "links": link}, {"values": [300, 400], "links": link})
    graph = inputs(sketch.file(scaling(["area", 640, 480, "center"])))
    assert [(graph[i]["width"], graph[i]["height"]) for i in ("57:4", "58:4")] == [(100, 200), (300, 400)]


def test_a_link_counts_more_than_the_widget_that_it_leads_to() -> None:
    sketch = using({"values": [100, 200], "links": {"image": (1, 0), "tall": (2, 0)}}).add(2, "PrimitiveInt", [5])
    sketch.add(3, "PrimitiveNode", [77]).add(59, "scaling", [1, 2], {"image": (1, 0), "width": (3, 0)})
    graph = inputs(sketch.file(scaling(["area", 640, 480, "center"])))
    assert (graph["57:4"]["width"], graph["57:4"]["height"]) == (100, ["2", 0])
    assert (graph["59:4"]["width"], graph["59:4"]["height"]) == (77, 2)


def test_values_of_widgets_that_files_of_2025_name_by_the_node_inside() -> None:
    named = {"proxyWidgets": [["4", "crop"], ["-1", "width"], ["5", "upscale_method"]]}
    link = {"image": (1, 0)}
    with_values = {"values": ["center", 9, "bilinear"], "links": link, "properties": named}
    without = {"values": [], "links": link, "properties": named}
    graph = inputs(using(with_values, without).file(scaling(["area", 640, 480, "disabled"])))
    assert (graph["57:4"]["crop"], graph["57:4"]["width"]) == ("center", 9)
    assert graph["57:5"]["upscale_method"] == "bilinear"
    assert (graph["58:4"]["crop"], graph["58:4"]["width"]) == ("disabled", 640)


def test_nested() -> None:
    outer = Sketch().add(57, "scaling", [11, 12], {"image": (INPUTS, 0), "width": None, "tall": (INPUTS, 1)})
    outer.nodes[0]["inputs"][2]["widget"] = {"name": "tall"}
    definition = outer.give(0, (57, 0)).subgraph("outer", ["picture", "tall"], ["IMAGE"])
    inner = scaling(["area", 640, 480, "center"])
    sketch = Sketch().add(1, "LoadImage", ["a.png", "image"]).add(9, "SaveImage", ["out"], {"images": (70, 0)})
    shown = sketch.add(70, "outer", [99], {"picture": (1, 0)})
    graph = inputs(shown.file(definition, inner))
    assert (graph["70:57:4"]["image"], graph["70:57:4"]["width"], graph["70:57:4"]["height"]) == (["1", 0], 11, 99)
    assert graph["9"]["images"] == ["70:57:5", 0]
    sketch.nodes[-1]["widgets_values"] = []
    assert inputs(shown.file(definition, inner))["70:57:4"]["height"] == 12


def test_a_picture_that_goes_straight_through() -> None:
    definition = Sketch().give(0, (INPUTS, 0)).subgraph("nothing", ["image"], ["IMAGE"])
    sketch = Sketch().add(1, "LoadImage", ["a.png"]).add(2, "nothing", [], {"image": (1, 0)})
    assert inputs(sketch.add(3, "SaveImage", ["out"], {"images": (2, 0)}).file(definition))["3"]["images"] == ["1", 0]


def test_a_bypassed_subgraph_lets_through_and_none_of_its_nodes_run() -> None:
    types = {"outputs": [{"name": "IMAGE", "type": "IMAGE"}], "mode": BYPASSED}
    sketch = using({"links": {"image": (1, 0)}, **types})
    graph = inputs(sketch.file(scaling(["area", 640, 480, "center"])))
    assert set(graph) == {"1", "157"}
    assert graph["157"]["images"] == ["1", 0]


def test_a_widget_gives_its_value_to_an_input_that_has_none() -> None:
    """As in the template image_ernie_image: a number goes to a size and to a PreviewAny."""
    inner = Sketch().add(4, "EmptyLatentImage", [640, 480, 1], {"width": (INPUTS, 0)})
    inner.add(5, "PreviewAny", [], {"source": (INPUTS, 0)})
    graph = inputs(Sketch().add(1, "sizes").file(inner.subgraph("sizes", ["width"])))
    assert graph["1:5"] == {"source": 640}
