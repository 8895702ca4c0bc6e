import json

import pytest

from comfyard.api.conditions import find
from comfyard.api.workflow_template import ConfigMapKey
from comfyard.controller import templates
from comfyard.controller.graph_source import NoGraph, read_graph, status_without, with_graph
from comfyard.kube.kinds import Obj
from comfyard.workflow.digest import digest
from tests.builders import NOW, bundle, graph, template

KEY = ConfigMapKey(name="graphs", key="sdxl.json")
FROM = {"configMapKeyRef": KEY.to_api()}


def config_map(text: str, key: str = "sdxl.json") -> Obj:
    return {"data": {key: text, "other": "x"}}


def cause(found: Obj | None) -> NoGraph:
    result = read_graph(KEY, found)
    assert isinstance(result, NoGraph)
    return result


def test_the_graph_is_what_the_key_has() -> None:
    assert read_graph(KEY, config_map(json.dumps(graph()))) == graph()


def test_a_graph_is_the_same_content_whichever_way_it_is_given() -> None:
    from_map = with_graph(template(graph={}, graphFrom=FROM), graph())
    assert digest(from_map.spec.to_api()) == digest(template().spec.to_api())


def test_a_map_that_does_not_exist_is_waited_for() -> None:
    assert cause(None) == NoGraph(
        "Reconciling", "GraphNotFound", "ConfigMap graphs (spec.graphFrom) does not exist; create it"
    )


def test_a_key_that_is_not_there_is_waited_for_and_those_that_are_are_named() -> None:
    found = cause(config_map("{}", "sdxl.jsn"))
    assert (found.kind, found.reason) == ("Reconciling", "GraphNotFound")
    assert "has no key sdxl.json in data (there: other, sdxl.jsn)" in found.message


def test_a_key_in_binary_data_is_told_so() -> None:
    assert "it is in binaryData, keep it as text" in cause({"binaryData": {"sdxl.json": "e30="}}).message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON: Expecting value"),
        ("graph: {}", "is not JSON: Expecting value"),
        ('{"3": {"cfg": NaN}}', "is not JSON: NaN is no JSON number"),
        ('{"3": "\\ud800"}', "is not JSON: 'utf-8' codec can't encode"),
        ("[" * 100_000, "is not JSON: maximum recursion depth exceeded"),
        ('["3"]', 'is JSON, but no object: ["3"]'),
    ],
)
def test_what_is_no_graph_stalls_with_the_fix(text: str, words: str) -> None:
    found = cause(config_map(text))
    assert found.kind == "Stalled"
    assert f"key sdxl.json of ConfigMap graphs (spec.graphFrom) {words}" in found.message
    assert found.message.endswith("export the graph from ComfyUI with Workflow > Export (API)")


def test_a_graph_that_is_too_large_to_be_kept_stalls() -> None:
    large = {**graph(), "99": {"class_type": "Note", "inputs": {"text": "x" * 100_000}}}
    found = read_graph(KEY, config_map(json.dumps(large)))
    assert isinstance(found, dict)
    whole = with_graph(template({"observedGeneration": -1}, graph={}, graphFrom=FROM), found)
    result = templates.plan(whole, {}, {"sd15": bundle()}, [], NOW)
    stalled = find(template(status=result.status).status.conditions, "Stalled")
    assert stalled
    assert "more than the 100000 that" in stalled.message


@pytest.mark.parametrize("kind", ["Reconciling", "Stalled"])
def test_without_a_graph_the_status_says_why_and_keeps_what_was_accepted(kind: str) -> None:
    before = {"observedGeneration": 1, "revision": "t-1", "digest": "sha256:t"}
    one = template(before, graph={}, graphFrom=FROM)
    status = status_without(one, before, NoGraph("Stalled" if kind == "Stalled" else "Reconciling", "R", "m"), NOW)
    assert (status["revision"], status["digest"]) == ("t-1", "sha256:t")
    true = {c["type"] for c in status["conditions"] if c["status"] == "True"}
    assert true == {kind}
