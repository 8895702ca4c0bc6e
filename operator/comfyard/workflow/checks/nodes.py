"""The nodes of a graph against what is known of their classes: what is missing, mistyped, out of range, ill linked.

Only nodes that an output needs are looked at: the others are never sent. What `/object_info` tells of a class that is
not ComfyUI's own is not all that decides: its VALIDATE_INPUTS may replace the built-in checks, its choices may be
filled by the editor, its types may have an editor's widget. So there, what such a class could allow is a warning.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from comfyard.workflow.checks.literals import literal_problem, shown
from comfyard.workflow.checks.trust import is_misspelt, trust_in
from comfyard.workflow.findings import Finding, Place, Severity, alike, error, listed, warning
from comfyard.workflow.graph import Graph, Link, as_link
from comfyard.workflow.landings import placeholders
from comfyard.workflow.node_class import DYNAMIC_COMBO, Input, NodeClass
from comfyard.workflow.object_info import Knowledge, core


@dataclass(frozen=True)
class Node:
    """One node while it is checked.

    Attributes:
        place: Of the node in its manifest.
        label: Id and class, for messages.
        inputs: As written.
        node_class: What is known of its class.
        targets: Inputs that a parameter sets, whatever stands there.
    """

    place: Place
    label: str
    inputs: Mapping[str, Any]
    node_class: NodeClass
    targets: frozenset[str]

    @property
    def is_core(self) -> bool:
        """Whether its class is one of ComfyUI's own."""
        return self.node_class.name in core().classes

    def find(self, severity: Severity, name: str, message: str) -> Finding:
        """A finding about an input."""
        place = (*self.place, "inputs", name) if name in self.inputs else (*self.place, "inputs")
        return Finding(severity, place, f"node {self.label}, input {name}: {message}")


def check_nodes(
    graph: Graph, ids: Iterable[str], knowledge: Knowledge, targets: Iterable[tuple[str, str]], at: Place
) -> Iterator[Finding]:
    """Check nodes.

    Args:
        graph: All nodes, each of the right shape.
        ids: Those to look at.
        knowledge: Of their classes.
        targets: Node and input that a parameter sets.
        at: The graph's place.
    """
    set_inputs = frozenset(targets)
    for node_id in ids:
        name, inputs = graph[node_id]["class_type"], graph[node_id]["inputs"]
        known = knowledge.find(name)
        if known is None:
            yield _unknown_class(node_id, name, knowledge, at)
            continue
        own = frozenset(each for other, each in set_inputs if other == node_id)
        node = Node((*at, node_id), f"{node_id} ({name})", inputs, known, own)
        for found in _check_node(graph, node, knowledge):
            # The services change with every release, and what is known here is not.
            yield replace(found, severity="Warning") if known.api_node and not knowledge.complete else found


def _unknown_class(node_id: str, name: str, knowledge: Knowledge, at: Place) -> Finding:
    place = (*at, node_id, "class_type")
    meant = alike(name, knowledge.classes)
    hint = f"; did you mean {meant}?" if meant else ""
    if knowledge.complete:
        message = f"node {node_id}: no server has the class {name}; install the package that brings it"
        return error(place, message + hint)
    message = f"node {node_id}: class {name} is not known; it must come with the server's image or with custom nodes"
    return warning(place, message + hint)


def _check_node(graph: Graph, node: Node, knowledge: Knowledge) -> Iterator[Finding]:
    expected = node.node_class.inputs_for(node.inputs)
    for name, each in expected.items():
        if name in node.targets:
            continue
        if name in node.inputs:
            yield from _check_input(graph, node, each, knowledge)
        elif each.required:
            yield node.find("Error", name, f"is missing; {_how_to_give(each)}{_misspelt(node, name, expected)}")
    for name in node.inputs:
        meant = is_misspelt(name, [n for n, each in expected.items() if n not in node.inputs and not each.required])
        if meant and name not in expected and name not in node.node_class.hidden:
            yield node.find("Warning", name, f"class {node.node_class.name} has no such input; did you mean {meant}?")


def _how_to_give(each: Input) -> str:
    return f"give it a value ({each.type})" if each.takes_literal else f"link it to an output of type {each.type}"


def _misspelt(node: Node, name: str, expected: Mapping[str, Input]) -> str:
    written = alike(name, [other for other in node.inputs if other not in expected])
    return f" (there is {written}: is that meant?)" if written else ""


def _check_input(graph: Graph, node: Node, each: Input, knowledge: Knowledge) -> Iterator[Finding]:
    value = node.inputs[each.name]
    link = as_link(value)
    if link:
        yield from _check_link(graph, node, each, link, knowledge)
    elif isinstance(value, list):
        message = f"{shown(value)} is neither a value nor a link; a link is [node id in quotes, number of the output]"
        yield node.find("Error", each.name, message)
    elif placeholders(value):
        if not each.takes_literal:
            yield node.find("Error", each.name, f"takes a link to an output of type {each.type}, not a parameter")
    elif not each.takes_literal:
        yield from _literal_for_link(node, each, value)
    else:
        problem = literal_problem(each, value, trust_in(node.node_class.name, knowledge))
        if problem:
            yield node.find(problem[0], each.name, problem[1])


def _literal_for_link(node: Node, each: Input, value: object) -> Iterator[Finding]:
    """ComfyUI takes a literal where a link is needed, and fails when it runs the node."""
    if value is None and not each.required:
        return  # as if it were not there
    message = f"{shown(value)} is no link; it needs [node id, output] of a node that gives {each.type}"
    sure = node.is_core or set(each.type.split(",")) <= _linked_types()
    yield node.find("Error" if sure else "Warning", each.name, message)


@cache
def _linked_types() -> frozenset[str]:
    """Types that ComfyUI's own nodes only link; of others, a package may have brought a widget."""
    inputs = [each for known in core().classes.values() for each in known.inputs.values()]
    return frozenset(t for each in inputs if not each.takes_literal and not each.force_input for t in [each.type])


def _check_link(graph: Graph, node: Node, each: Input, link: Link, knowledge: Knowledge) -> Iterator[Finding]:
    source_id, slot = link
    source = knowledge.find(graph[source_id]["class_type"])
    if each.type == DYNAMIC_COMBO:
        yield node.find("Error", each.name, "decides which inputs the node has, so it needs a value, not a link")
    if source is None or (source.api_node and not knowledge.complete):
        return
    label = f"node {source_id} ({source.name})"
    if not 0 <= slot < len(source.outputs):
        gives = listed(f"{i} {out.name}" for i, out in enumerate(source.outputs))
        yield node.find("Error", each.name, f"is linked to output {slot} of {label}, which gives {gives}")
        return
    given = source.outputs[slot].type
    if not each.accepts(given):
        fitting = [str(i) for i, out in enumerate(source.outputs) if each.accepts(out.type)]
        hint = f"; its output {fitting[0]} would fit" if fitting else ""
        yield node.find("Error", each.name, f"takes {each.type}, but output {slot} of {label} gives {given}{hint}")
