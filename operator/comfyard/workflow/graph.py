"""A graph in ComfyUI's API format: is it one, and what does it name.

ComfyUI's worker thread dies of a node without `inputs`, even one that nothing asks for, while its HTTP side keeps
answering; so the shape of every node is checked here, before any server sees it.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from comfyard.workflow.findings import Finding, Place, error

Graph = Mapping[str, Any]
Link = tuple[str, int]

MAX_GRAPH_BYTES = 100_000
"""kubectl and Argo CD keep a copy of what was applied in an annotation; all together may hold 262,144 bytes."""

_EXPORT = "export it from ComfyUI with Workflow > Export (API), or run `comfyard convert` on what it saves"


@cache
def node_facts() -> dict[str, Any]:
    """What is known of ComfyUI's core nodes: inputs, outputs, and which inputs name files of which folder."""
    facts: dict[str, Any] = json.loads((files("comfyard.workflow") / "node_facts.json").read_text())
    return facts


def as_link(value: object) -> Link | None:
    """[node id, output slot], or None for a literal."""
    match value:
        case [str() as node, int() as slot] if not isinstance(slot, bool):
            return node, slot
        case _:
            return None


def check_graph(graph: Graph, at: Place = ("spec", "graph")) -> list[Finding]:
    """What is wrong with the graph's shape, each with the node and the fix; empty when nothing is.

    Args:
        graph: Anything that should be a graph.
        at: Its place.
    """
    if not graph:
        return [error(at, f"the graph is empty: {_EXPORT}")]
    if is_editors_format(graph):
        return [error(at, f"the graph is in the format of ComfyUI's editor, not the API's: {_EXPORT}")]
    size = len(json.dumps(graph, separators=(",", ":")))
    if size > MAX_GRAPH_BYTES:
        limit = f"more than the {MAX_GRAPH_BYTES} that an object may carry"
        return [error(at, f"the graph has {size} bytes of JSON, {limit}; cut it down")]
    return [problem for node_id, node in graph.items() for problem in _check_node(graph, node_id, node, at)]


def is_editors_format(graph: Graph) -> bool:
    """Whether it is what ComfyUI's editor saves: nodes in a list, with places and sizes."""
    return isinstance(graph.get("nodes"), list)


def _check_node(graph: Graph, node_id: str, node: object, at: Place) -> Iterable[Finding]:
    place = (*at, node_id)
    if not isinstance(node, Mapping):
        yield error(place, f"node {node_id}: must be an object with class_type and inputs")
        return
    if not isinstance(node.get("class_type"), str) or not node["class_type"]:
        yield error(place, f"node {node_id}: class_type must name a node class")
    elif "{{" in node["class_type"]:
        yield error((*place, "class_type"), f"node {node_id}: class_type cannot be a parameter; only inputs can")
    if not isinstance(node.get("inputs"), Mapping):
        yield error(place, f"node {node_id}: inputs must be an object, {{}} if it has none")
        return
    for name, value in node["inputs"].items():
        link = as_link(value)
        if link and link[0] not in graph:
            message = f"node {node_id}: input {name} is linked to node {link[0]}, which is not there"
            yield error((*place, "inputs", name), message)


def node_classes(graph: Graph) -> list[str]:
    """The classes of all nodes, sorted, each once."""
    return sorted({node["class_type"] for node in graph.values()})


def ancestors(graph: Graph, node_ids: Iterable[str]) -> set[str]:
    """These nodes and all that they depend on. Links to nodes that are not there are ignored."""
    found: set[str] = set()
    todo = [node_id for node_id in node_ids if node_id in graph]
    while todo:
        node_id = todo.pop()
        if node_id in found:
            continue
        found.add(node_id)
        links = (as_link(value) for value in graph[node_id]["inputs"].values())
        todo.extend(link[0] for link in links if link and link[0] in graph)
    return found


def prune(graph: Graph, outputs: Iterable[str]) -> dict[str, Any]:
    """The part of the graph that the outputs need."""
    needed = ancestors(graph, outputs)
    return {node_id: node for node_id, node in graph.items() if node_id in needed}
