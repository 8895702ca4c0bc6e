from typing import Any

import pytest

from comfyard.workflow.conversion.convert import convert
from comfyard.workflow.object_info import core
from tests.unit.workflow.sketch import INPUTS, Sketch

MUTED, BYPASSED = 2, 4
SAMPLING = [7, "randomize", 20, 8.0, "euler", "normal", 1.0]


def inputs(workflow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Inputs by node, and every note is a mistake."""
    done = convert(workflow, core())
    assert not done.notes
    return {node_id: node["inputs"] for node_id, node in done.graph.items()}


def text(sketch: Sketch, node_id: str | int, words: str) -> Sketch:
    return sketch.add(node_id, "CLIPTextEncode", [words], {"clip": (1, 1)})


def loader() -> Sketch:
    return Sketch().add(1, "CheckpointLoaderSimple", ["sd.safetensors"])


def decoding(sketch: Sketch) -> Sketch:
    return sketch.add(8, "VAEDecode", [], {"samples": (3, 0), "vae": (1, 2)}).add(
        9, "SaveImage", ["out"], {"images": (8, 0)}
    )


def sampled(sketch: Sketch, model: tuple[str | int, int] = (1, 0), **links: Any) -> Sketch:
    text(sketch, 6, "a lighthouse")
    sketch.add(5, "EmptyLatentImage", [512, 768, 2])
    all_links = {"model": model, "positive": (6, 0), "negative": (6, 0), "latent_image": (5, 0)}
    return decoding(sketch.add(3, "KSampler", SAMPLING, all_links | links))


@pytest.mark.parametrize("version", [0.4, 1.0])
def test_nodes_widgets_and_links(version: float) -> None:
    workflow = sampled(loader()).file(version=version)
    workflow["nodes"][0]["title"] = "My checkpoint"
    graph = convert(workflow, core()).graph
    assert graph["1"] == {
        "class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "sd.safetensors"},
        "_meta": {"title": "My checkpoint"},
    }
    assert graph["3"] == {
        "class_type": "KSampler",
        "inputs": {
            "model": ["1", 0],
            "seed": 7,
            "steps": 20,
            "cfg": 8.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "positive": ["6", 0],
            "negative": ["6", 0],
            "latent_image": ["5", 0],
            "denoise": 1.0,
        },
    }
    assert list(graph) == ["1", "6", "5", "3", "8", "9"]


def test_what_only_the_editor_shows_is_not_there() -> None:
    sketch = sampled(loader(), model=("r", 0)).add("r", "Reroute", None, {"": (1, 0)})
    sketch.add(20, "Note", ["remember"]).add(21, "MarkdownNote", ["# remember"])
    graph = inputs(sketch.file())
    assert graph["3"]["model"] == ["1", 0]
    assert set(graph) == {"1", "3", "5", "6", "8", "9"}


def test_a_primitive_node_gives_its_value_to_all_that_are_linked() -> None:
    sketch = sampled(loader(), seed=(30, 0), steps=("r", 0)).add(30, "PrimitiveNode", [99, "fixed"])
    sketch.add(31, "PrimitiveNode", [12]).add("r", "Reroute", None, {"": (31, 0)})
    sampler = inputs(sketch.file())["3"]
    assert (sampler["seed"], sampler["steps"], sampler["cfg"]) == (99, 12, 8.0)


def test_a_get_node_has_what_the_set_node_of_its_name_has() -> None:
    inner = Sketch().add(8, "VAEDecode", [], {"samples": (INPUTS, 0), "vae": ("get", 0)}).add("get", "GetNode", ["VAE"])
    sketch = sampled(loader(), model=("get", 0)).add("get", "GetNode", ["a model"])
    sketch.add(40, "SetNode", ["a model"], {"MODEL": (1, 0)}).add(41, "SetNode", ["VAE"], {"VAE": (1, 2)})
    sketch.add(50, "decode", [], {"samples": (3, 0)}).add(51, "PreviewImage", [], {"images": (50, 0)})
    graph = inputs(sketch.file(inner.give(0, (8, 0)).subgraph("decode", ["samples"], ["IMAGE"])))
    assert graph["3"]["model"] == ["1", 0]
    assert graph["50:8"] == {"samples": ["3", 0], "vae": ["1", 2]}
    assert graph["51"] == {"images": ["50:8", 0]}


def test_a_bypassed_node_lets_through_what_has_the_type() -> None:
    sketch = loader().add(2, "LoraLoader", ["a.safetensors", 1, 1], {"model": (1, 0), "clip": (1, 1)}, mode=BYPASSED)
    sketch.add(6, "CLIPTextEncode", ["words"], {"clip": (2, 1)})
    sketch.add(5, "VAEEncode", [], {"pixels": (4, 0), "vae": (1, 2)}).add(4, "LoadImage", ["a.png", "image"])
    sketch.add(7, "ConditioningCombine", [], {"conditioning_1": None, "conditioning_2": (6, 0)}, mode=BYPASSED)
    links: dict[str, Any] = {"positive": (6, 0), "negative": (6, 0), "latent_image": (5, 0), "model": (2, 0)}
    graph = inputs(decoding(sketch.add(3, "KSampler", SAMPLING, links)).file())
    assert graph["3"]["model"] == ["1", 0]
    assert graph["6"]["clip"] == ["1", 1]
    assert "2" not in graph


def test_of_a_bypassed_node_the_input_at_the_same_place_counts_first() -> None:
    sketch = text(text(loader(), 6, "first"), 16, "second")
    sketch.add(7, "ConditioningCombine", [], {"conditioning_1": (6, 0), "conditioning_2": (16, 0)}, mode=BYPASSED)
    assert inputs(sampled(sketch, positive=(7, 0)).file())["3"]["positive"] == ["6", 0]


def test_what_is_linked_to_something_muted_keeps_the_value_of_its_own_widget() -> None:
    sketch = sampled(loader(), steps=(30, 0)).add(30, "PrimitiveInt", [3, "fixed"], mode=MUTED)
    sketch.add(31, "PreviewImage", [], {"images": (8, 0)}, mode=MUTED)
    graph = inputs(sketch.file())
    assert graph["3"]["steps"] == 20
    assert not {"30", "31"} & set(graph)


def test_lists_are_wrapped_as_only_links_are_lists() -> None:
    workflow = Sketch().add(1, "PreviewAny", [], {"source": (2, 0)}).add(2, "PrimitiveNode", [["a", 1]]).file()
    assert inputs(workflow)["1"] == {"source": {"__value__": ["a", 1]}}
