"""A workflow of the editor becomes a graph in API format, or is refused with all that is wrong with it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic

from comfyard.workflow.conversion.editor import Mode, Node, Workflow
from comfyard.workflow.conversion.problems import Problem, Reason
from comfyard.workflow.conversion.scope import Scope, WiringError
from comfyard.workflow.conversion.widgets import LayoutError, read_widgets
from comfyard.workflow.conversion.wiring import VIRTUAL
from comfyard.workflow.conversion.writing import with_editors_inputs, write
from comfyard.workflow.graph import ancestors, as_link
from comfyard.workflow.node_class import EDITOR_TYPES, Input, NodeClass
from comfyard.workflow.object_info import Knowledge

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LEFT_OUT = frozenset({Mode.MUTED, Mode.BYPASSED})


class ConversionError(ValueError):
    """The workflow cannot be converted.

    Attributes:
        problems: Each with node and input.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.describe() for problem in problems))
        self.problems = tuple(problems)


@dataclass
class Conversion:
    """What became of a workflow.

    Attributes:
        graph: In API format.
        notes: What was left out, one sentence each.
    """

    graph: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def convert(workflow: object, knowledge: Knowledge) -> Conversion:
    """Convert a workflow.

    Args:
        workflow: The content of a file that the editor has saved.
        knowledge: Of the server that is to run it.

    Raises:
        ConversionError: It cannot be converted.
    """

    def widgets(node: Node) -> Mapping[str, Any]:
        node_class = _find(knowledge, node)
        try:
            return read_widgets(node, node_class).by_input if node_class else {}
        except LayoutError:
            return {}  # which is told of where the node is written

    parsed = _parse(workflow)
    conversion = Conversion()
    problems: list[Problem] = []
    for scope, node in _running(Scope(parsed, parsed.subgraphs, widgets), problems):
        node_class = _find(knowledge, node)
        node_id = scope.id_of(node)
        if node_class is None:
            message = _unknown(node.type, complete=knowledge.complete)
            problems.append(Problem(Reason.UNKNOWN_CLASS, node_id, node.type, "", message))
            continue
        written = write(scope, node, node_class)
        problems += written.problems
        conversion.notes += written.notes
        title = {"_meta": {"title": node.title}} if node.title else {}
        conversion.graph[node_id] = {"class_type": node.type, "inputs": written.inputs, **title}
    if not problems:  # otherwise what is missing may be the consequence of what could not be read
        lacking = list(_lacking_outputs(conversion.graph, knowledge))
        if not knowledge.complete:  # a newer server may have them
            conversion.notes += [problem.describe() for problem in lacking]
            lacking = []
        problems = [*lacking, *_missing(conversion.graph, knowledge)]
    if problems:
        raise ConversionError(problems)
    return conversion


def _parse(workflow: object) -> Workflow:
    def refuse(message: str) -> ConversionError:
        return ConversionError([Problem(Reason.FORMAT, "", "", "", message)])

    if not isinstance(workflow, Mapping) or "nodes" not in workflow:
        nodes = list(workflow.values()) if isinstance(workflow, Mapping) else []
        if nodes and all(isinstance(node, Mapping) and "class_type" in node for node in nodes):
            raise refuse("this workflow is in API format already; use it as it is")
        raise refuse("this is no workflow of ComfyUI's editor: it has no nodes; save it there with Workflow > Save")
    try:
        return Workflow.model_validate(workflow)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise refuse(f"this workflow is damaged: {place}: {first['msg']}; save it again in the editor") from error


def _find(knowledge: Knowledge, node: Node) -> NodeClass | None:
    node_class = knowledge.find(node.type)
    return node_class and with_editors_inputs(node_class)


def _running(scope: Scope, problems: list[Problem]) -> Iterator[tuple[Scope, Node]]:
    """All nodes that run, those in subgraphs too."""
    for node in scope.canvas.nodes:
        if node.mode in _LEFT_OUT or node.type in VIRTUAL:
            continue
        if not scope.is_subgraph(node):
            yield scope, node
            continue
        try:
            inner = scope.enter(node)
        except WiringError as error:
            problems.append(Problem(Reason.LINK, scope.id_of(node), "subgraph", "", str(error)))
            continue
        yield from _running(inner, problems)


def _lacking_outputs(graph: Mapping[str, Any], knowledge: Knowledge) -> Iterator[Problem]:
    """Links to outputs that the class does not have."""
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            link = as_link(value)
            origin = knowledge.classes[graph[link[0]]["class_type"]] if link else None
            if link and origin and not 0 <= link[1] < len(origin.outputs):
                there = f"node {link[0]} ({origin.name}), which has {len(origin.outputs)} here, counted from 0"
                message = f"is linked to output {link[1]} of {there}; it needs another version of that class"
                yield Problem(Reason.LINK, node_id, node["class_type"], name, message)


def _missing(graph: Mapping[str, Any], knowledge: Knowledge) -> Iterator[Problem]:
    """What the nodes that an output needs cannot do without."""
    classes = {node_id: knowledge.classes[node["class_type"]] for node_id, node in graph.items()}
    needed = ancestors(graph, [node_id for node_id, node_class in classes.items() if node_class.output_node])
    for node_id in [node_id for node_id in graph if node_id in needed]:
        inputs = graph[node_id]["inputs"]
        lacking = [each for each in classes[node_id].inputs_for(inputs).values() if each.required]
        lacking = [each for each in lacking if each.name not in inputs]
        made = [each for each in lacking if each.type in EDITOR_TYPES]
        for each in made or lacking:  # of a node with a value from the browser, no other is sure to be in the file
            reason = Reason.BROWSER if made else Reason.MISSING
            yield Problem(reason, node_id, classes[node_id].name, each.name, _how_to_give(each))


def _how_to_give(each: Input) -> str:
    if each.type in EDITOR_TYPES:
        return "is made in the browser when somebody presses Run; load a file with another node"
    if each.has_widget:
        return "has no value; choose one in the editor"
    return "is not linked, or only to nodes that are muted or bypassed; link it, or mute the nodes that need it"


def _unknown(name: str, *, complete: bool) -> str:
    if name.startswith(("workflow>", "workflow/")):
        return "is a group node, which is older than subgraphs; convert it to a subgraph in the editor"
    if _UUID.fullmatch(name):
        return "uses a subgraph that the file does not define; save it again in the editor"
    if complete:
        return "the server does not have this class; it needs its custom node, or another version of ComfyUI"
    return "this class is not one of ComfyUI 0.3.64; only the /object_info of a server that has it tells its inputs"
