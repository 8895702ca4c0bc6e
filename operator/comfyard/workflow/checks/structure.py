"""How the nodes of a graph hang together: what outputs need, what they do not, and whether it goes in circles."""

from collections.abc import Collection, Iterable, Iterator

from comfyard.workflow.findings import Finding, Place, error, listed, warning
from comfyard.workflow.graph import Graph, ancestors, as_link
from comfyard.workflow.object_info import Knowledge


def output_nodes(graph: Graph, knowledge: Knowledge) -> list[str]:
    """Nodes whose purpose is a result; of those whose class is not known, the ones that nothing is linked to."""
    used = {link[0] for node in graph.values() for value in node["inputs"].values() if (link := as_link(value))}
    return [
        node_id
        for node_id, node in graph.items()
        if (known.output_node if (known := knowledge.find(node["class_type"])) else node_id not in used)
    ]


def check_structure(graph: Graph, outputs: Collection[str], at: Place) -> Iterator[Finding]:
    """Circles, which ComfyUI refuses without a word, and nodes that no output needs, which are not sent."""
    needed = ancestors(graph, outputs)
    circle = find_circle(graph, [node_id for node_id in graph if node_id in needed])
    if circle:
        path = " -> ".join(f"{node_id} ({graph[node_id]['class_type']})" for node_id in [*circle, circle[0]])
        yield error((*at, circle[0]), f"nodes need each other's outputs in a circle: {path}; cut one of the links")
    left_out = [node_id for node_id in graph if node_id not in needed]
    if left_out:
        names = listed(f"{node_id} ({graph[node_id]['class_type']})" for node_id in left_out)
        message = (
            f"no output needs these nodes, so that they are left out: {names}; name their output nodes, or delete them"
        )
        yield warning((*at, left_out[0]), message)


def find_circle(graph: Graph, ids: Iterable[str]) -> list[str]:
    """Nodes of which each needs an output of the next, the last one of the first; empty when there are none."""
    done: set[str] = set()
    for start in ids:
        path: list[str] = []
        branches = [iter([start])]
        while branches:
            node_id = next(branches[-1], None)
            if node_id is None:
                branches.pop()
                if path:
                    done.add(path.pop())
            elif node_id in path:
                return path[path.index(node_id) :]
            elif node_id not in done:
                path.append(node_id)
                branches.append(_sources(graph, node_id))
    return []


def _sources(graph: Graph, node_id: str) -> Iterator[str]:
    links = (as_link(value) for value in graph[node_id]["inputs"].values())
    return (link[0] for link in links if link and link[0] in graph)
