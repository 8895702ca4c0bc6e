"""The workflows that ComfyUI ships: 644 of its editor's own files, from the package comfyui-workflow-templates-json."""

import json
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from comfyard.workflow.conversion.convert import Conversion, ConversionError, convert
from comfyard.workflow.graph import as_link, check_graph
from comfyard.workflow.object_info import Knowledge, core
from comfysim.folder_paths import FolderPaths
from comfysim.node_catalog import NodeCatalog
from comfysim.validation import validate_prompt
from tests.unit.workflow.sketch import Sketch

EDITORS_OWN = {"Note", "MarkdownNote", "Reroute", "PrimitiveNode"}
MUTED, BYPASSED = 2, 4


@cache
def templates() -> dict[str, dict[str, Any]]:
    folder = files("comfyui_workflow_templates_json") / "templates"
    contents = {each.name: json.loads(each.read_bytes()) for each in folder.iterdir() if each.name.endswith(".json")}
    return {name: each for name, each in sorted(contents.items()) if isinstance(each, dict) and "nodes" in each}


@cache
def outcomes() -> dict[str, Conversion | ConversionError]:
    def outcome(workflow: dict[str, Any]) -> Conversion | ConversionError:
        try:
            return convert(workflow, core())
        except ConversionError as error:
            return error

    return {name: outcome(workflow) for name, workflow in templates().items()}


def converted() -> dict[str, Conversion]:
    return {name: done for name, done in outcomes().items() if isinstance(done, Conversion)}


def running_classes(workflow: dict[str, Any]) -> Iterator[str]:
    """The classes of all nodes that run, found without any of the code under test."""
    subgraphs = {each["id"]: each for each in workflow.get("definitions", {}).get("subgraphs", [])}
    todo = [workflow]
    while todo:
        for node in todo.pop()["nodes"]:
            if node["mode"] in {MUTED, BYPASSED} or node["type"] in EDITORS_OWN:
                continue
            if node["type"] in subgraphs:
                todo.append(subgraphs[node["type"]])
            else:
                yield node["type"]


def test_how_many_convert() -> None:
    reasons = Counter(
        " and ".join(sorted({problem.reason for problem in done.problems}))
        for done in outcomes().values()
        if isinstance(done, ConversionError)
    )
    assert len(templates()) == 644
    assert len(converted()) == 121
    assert reasons == {"UnknownClass": 520, "UnknownClass and Values": 3}
    assert sum(bool(done.notes) for done in converted().values()) == 17


def test_all_convert_whose_classes_are_known() -> None:
    known = {name for name, each in templates().items() if all(core().find(kind) for kind in running_classes(each))}
    assert set(converted()) == known


def test_the_others_are_told_of_every_class_that_is_not_known() -> None:
    unknown: set[str] = set()
    for name, done in outcomes().items():
        if isinstance(done, Conversion):
            continue
        told = {problem.class_type for problem in done.problems if problem.reason == "UnknownClass"}
        assert told == {kind for kind in running_classes(templates()[name]) if not core().find(kind)}
        unknown |= told
    assert len(unknown) == 381


def test_values_that_nobody_can_assign_are_those_of_a_newer_class() -> None:
    values = [
        problem.describe()
        for done in outcomes().values()
        if isinstance(done, ConversionError)
        for problem in done.problems
        if problem.reason == "Values"
    ]
    assert len(values) == 3
    assert all("(GeminiNode): the file has 5 values for its widgets" in each for each in values)


def test_what_is_converted_is_whole() -> None:
    for done in converted().values():
        assert check_graph(done.graph) == []
        assert None not in [value for node in done.graph.values() for value in node["inputs"].values()]


def test_comfyui_has_nothing_against_it_but_missing_files_and_its_own_age(tmp_path: Path) -> None:
    catalog = NodeCatalog(FolderPaths.make(str(tmp_path)))
    against: Counter[tuple[str, str]] = Counter()
    for done in converted().values():
        verdict = validate_prompt(catalog, deepcopy(done.graph), None)
        for each in verdict.node_errors.values():
            node_class = core().classes[each["class_type"]]
            for error in each["errors"]:
                known = node_class.inputs.get(str(error["extra_info"].get("input_name")))
                place = "a file" if known and known.folder else f"{node_class.name}.{known.name if known else ''}"
                against[error["type"], place] += 1
    assert against == {
        ("value_not_in_list", "a file"): 267,
        ("custom_validation_failed", "a file"): 95,
        ("exception_during_validation", "SaveGLB."): 9,  # links to an output that Tripo's nodes got later
        ("value_not_in_list", "DualCLIPLoader.type"): 2,  # kandinsky5
        ("value_not_in_list", "CLIPLoader.type"): 1,  # ovis
    }


def as_file(graph: dict[str, Any], knowledge: Knowledge) -> dict[str, Any]:
    """A graph in the editor's format, as the editor would save it."""
    sketch = Sketch(knowledge)
    for node_id, node in graph.items():
        inputs = node["inputs"]
        values = []
        for each in knowledge.classes[node["class_type"]].inputs.values():
            if each.has_widget:
                value = inputs.get(each.name)
                values.append(None if as_link(value) else value)
                values += ["fixed"] if each.control_after_generate else []
        links = {name: link for name, value in inputs.items() if (link := as_link(value))}
        sketch.add(node_id, node["class_type"], values, links, title=node.get("_meta", {}).get("title"))
    return sketch.file(version=1.0)


def test_there_and_back_again() -> None:
    for done in converted().values():
        assert convert(as_file(done.graph, core()), core()).graph == done.graph
