"""A whole template: everything that can be said of it without a cluster."""

from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.graph import check_graph, model_files
from comfyard.workflow.parameters import check_parameters


def check_template(spec: WorkflowTemplateSpec) -> list[str]:
    """What is wrong with a template, each with the place and the fix; empty when nothing is."""
    problems = check_graph(spec.graph)
    if problems:
        return problems  # what follows reads nodes, which must be nodes
    for output in spec.outputs:
        if output.node not in spec.graph:
            problems.append(f"output {output.name}: node {output.node} is not in the graph")
    return problems + check_parameters(spec)


def model_paths(spec: WorkflowTemplateSpec) -> list[str]:
    """Paths on the claim of the models that the graph names, such as checkpoints/x.safetensors."""
    return [f"{folder}/{name}" for folder, name in model_files(spec.graph)]
