"""A whole template, or a bare graph: everything that can be said of it without a cluster."""

from collections.abc import Iterator

from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.checks.models import check_model_names
from comfyard.workflow.checks.nodes import check_nodes
from comfyard.workflow.checks.parameters import check_parameters
from comfyard.workflow.checks.structure import check_structure, output_nodes
from comfyard.workflow.findings import Finding, Place, error
from comfyard.workflow.graph import Graph, ancestors, check_graph
from comfyard.workflow.object_info import Knowledge, core

_GRAPH: Place = ("spec", "graph")


def check_template(spec: WorkflowTemplateSpec, knowledge: Knowledge | None = None) -> list[Finding]:
    """What is wrong with a template, each with the place and the fix; empty when nothing is.

    Args:
        spec: The template, its graph in its place.
        knowledge: Of node classes. None: ComfyUI's own.
    """
    known = knowledge or core()
    found = check_graph(spec.graph, _GRAPH)
    if found:
        return found  # what follows reads nodes, which must be nodes
    targets = [(target.node, target.input) for parameter in spec.parameters for target in parameter.targets]
    outputs = [output.node for output in spec.outputs]
    return [
        *_check_outputs(spec, known),
        *check_structure(spec.graph, outputs, _GRAPH),
        *check_nodes(spec.graph, _in_order(spec.graph, outputs), known, targets, _GRAPH),
        *check_parameters(spec, known),
        *check_model_names(spec, known),
    ]


def check_bare_graph(graph: Graph, knowledge: Knowledge | None = None) -> list[Finding]:
    """What is wrong with a graph alone, as ComfyUI exports it for its API."""
    known = knowledge or core()
    found = check_graph(graph, ())
    if found:
        return found
    outputs = output_nodes(graph, known)
    if not outputs:
        return [error((), "the graph has no output node, so that ComfyUI would do nothing; add one, such as SaveImage")]
    return [
        *check_structure(graph, outputs, ()),
        *check_nodes(graph, _in_order(graph, outputs), known, (), ()),
    ]


def _in_order(graph: Graph, outputs: list[str]) -> list[str]:
    needed = ancestors(graph, outputs)
    return [node_id for node_id in graph if node_id in needed]


def _check_outputs(spec: WorkflowTemplateSpec, knowledge: Knowledge) -> Iterator[Finding]:
    fitting = ", ".join(output_nodes(spec.graph, knowledge)) or "none; add one, such as SaveImage"
    owners: dict[str, str] = {}
    for index, output in enumerate(spec.outputs):
        place = ("spec", "outputs", index, "node")
        if output.node not in spec.graph:
            message = f"output {output.name}: node {output.node} is not in the graph; its output nodes: {fitting}"
            yield error(place, message)
            continue
        name = spec.graph[output.node]["class_type"]
        known = knowledge.find(name)
        if known and not known.output_node:
            message = (
                f"output {output.name}: node {output.node} ({name}) stores nothing; the graph's output nodes: {fitting}"
            )
            yield error(place, message)
        owner = owners.setdefault(output.node, output.name)
        if owner != output.name:
            yield error(
                place, f"output {output.name}: node {output.node} is output {owner} already; remove one of them"
            )
