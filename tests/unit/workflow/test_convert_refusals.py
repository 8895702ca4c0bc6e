import re
from typing import Any

import pytest

from comfyard.workflow.conversion.convert import ConversionError, convert
from comfyard.workflow.conversion.problems import Reason
from comfyard.workflow.object_info import Knowledge, core
from tests.unit.workflow.sketch import INPUTS, Sketch

UUID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


def refused(workflow: object, knowledge: Knowledge | None = None) -> list[tuple[Reason, str]]:
    with pytest.raises(ConversionError) as caught:
        convert(workflow, knowledge or core())
    assert str(caught.value) == "; ".join(problem.describe() for problem in caught.value.problems)
    return [(problem.reason, problem.describe()) for problem in caught.value.problems]


def saving(*links: Any) -> Sketch:
    return Sketch().add(9, "SaveImage", ["out"], {"images": links[0] if links else None})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"1": {"class_type": "LoadImage", "inputs": {}}}, "this workflow is in API format already; use it as it is"),
        ({}, "this is no workflow of ComfyUI's editor: it has no nodes"),
        ([1], "this is no workflow of ComfyUI's editor: it has no nodes"),
        ({"nodes": [{"id": 1}]}, "this workflow is damaged: nodes.0.type: Field required; save it again in the editor"),
        ({"nodes": [], "links": [[1, 2]]}, "this workflow is damaged: links.0.origin_slot: Field required"),
    ],
)
def test_what_is_no_file_of_the_editor(content: object, message: str) -> None:
    [(reason, text)] = refused(content)
    assert reason is Reason.FORMAT
    assert text.startswith(message)


@pytest.mark.parametrize(
    ("kind", "complete", "message"),
    [
        (
            "FaceDetailer",
            False,
            "this class is not one of ComfyUI 0.3.64; only the /object_info of a server that has it",
        ),
        ("FaceDetailer", True, "the server does not have this class; it needs its custom node"),
        ("workflow>Mine", False, "is a group node, which is older than subgraphs; convert it to a subgraph"),
        (UUID, False, "uses a subgraph that the file does not define; save it again in the editor"),
    ],
)
def test_unknown_classes(kind: str, complete: bool, message: str) -> None:  # noqa: FBT001
    [(reason, text)] = refused(Sketch().add(4, kind).file(), Knowledge(core().classes, complete=complete))
    assert reason is Reason.UNKNOWN_CLASS
    assert text.startswith(f"node 4 ({kind}): {message}")


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ((77, 0), "is linked to node 77, which is not in the file; link it again in the editor"),
        ((INPUTS, 0), "is linked to input 0 of a subgraph that lacks it; link it again in the editor"),
        (("get", 0), "is linked to GetNode get, but no SetNode has its name, 'x'; add one in the editor"),
    ],
)
def test_links_that_lead_nowhere(origin: tuple[str, int], message: str) -> None:
    sketch = saving(origin).add("get", "GetNode", ["x"])
    assert refused(sketch.file()) == [(Reason.LINK, f"node 9 (SaveImage): input images {message}")]


def test_a_link_that_is_not_there() -> None:
    workflow = saving((1, 0)).add(1, "LoadImage", ["a.png"]).file() | {"links": []}
    [(reason, text)] = refused(workflow)
    assert (reason, "is linked by link 1, which is not in the file" in text) == (Reason.LINK, True)


def test_nodes_that_only_pass_on_to_each_other() -> None:
    sketch = saving(("a", 0)).add("a", "Reroute", None, {"": ("b", 0)}).add("b", "Reroute", None, {"": ("a", 0)})
    [(reason, text)] = refused(sketch.file())
    assert (reason, "that only pass on to each other" in text) == (Reason.LINK, True)


def test_a_subgraph_in_itself() -> None:
    inner = Sketch().add(5, "mine", [], {"image": (INPUTS, 0)}).give(0, (5, 0)).subgraph("mine", ["image"], ["image"])
    sketch = saving((4, 0)).add(4, "mine", [], {"image": (1, 0)}).add(1, "LoadImage", ["a.png"])
    found = refused(sketch.file(inner))
    assert {reason for reason, _ in found} == {Reason.LINK}
    assert all("uses the subgraph that it lies in; take it out in the editor" in text for _, text in found)


def test_an_output_that_the_class_lacks_is_the_servers_to_judge() -> None:
    workflow = saving((1, 5)).add(1, "LoadImage", ["a.png"]).file()
    message = (
        "node 9 (SaveImage): input images is linked to output 5 of node 1 (LoadImage), which has 2 here, counted from "
        "0; it needs another version of that class"
    )
    assert refused(workflow, Knowledge(core().classes, complete=True)) == [(Reason.LINK, message)]
    assert convert(workflow, core()).notes == [message]


def test_values_that_do_not_fit() -> None:
    [(reason, text)] = refused(Sketch().add(5, "EmptyLatentImage", [512, "wide", 1]).file())
    assert reason is Reason.VALUES
    assert re.fullmatch(r"node 5 \(EmptyLatentImage\): the file has 3 values .*; save it again in the editor.*", text)


def test_a_value_from_elsewhere_that_does_not_fit() -> None:
    sketch = Sketch().add(5, "EmptyLatentImage", [512, 512, 1], {"width": (6, 0)}).add(6, "PrimitiveNode", ["wide"])
    message = "gets 'wide' from a widget elsewhere, which is no INT; link it again in the editor"
    assert refused(sketch.file()) == [(Reason.VALUES, f"node 5 (EmptyLatentImage): input width {message}")]


def test_what_an_output_cannot_do_without() -> None:
    sketch = saving((8, 0)).add(8, "VAEDecode", [], {"samples": (3, 0), "vae": (1, 0)})
    sketch.add(3, "LatentFlip", ["x-axis: vertically"], mode=2).add(1, "VAELoader", [])
    sketch.add(4, "VAEDecode")  # which no output needs
    message = "is not linked, or only to nodes that are muted or bypassed; link it, or mute the nodes that need it"
    assert refused(sketch.file()) == [
        (Reason.MISSING, f"node 8 (VAEDecode): input samples {message}"),
        (Reason.MISSING, "node 1 (VAELoader): input vae_name has no value; choose one in the editor"),
    ]


def test_what_only_a_browser_makes() -> None:
    sketch = saving((1, 0)).add(1, "Load3D", ["a.glb", "upload3dmodel", "clear", "", 1024, 1024])
    [(reason, text)] = refused(sketch.file())
    assert reason is Reason.BROWSER
    assert text.startswith("node 1 (Load3D): input image is made in the browser when somebody presses Run")


def test_all_problems_are_told_at_once() -> None:
    sketch = saving((77, 0)).add(1, "FaceDetailer").add(5, "EmptyLatentImage", ["wide"])
    assert [reason for reason, _ in refused(sketch.file())] == [Reason.LINK, Reason.UNKNOWN_CLASS, Reason.VALUES]
