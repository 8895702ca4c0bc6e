"""The model files that a graph names, by the inputs that name them: folders are ComfyUI's."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfyard.api.workflow_template import Parameter, WorkflowTemplateSpec
from comfyard.workflow.findings import Place
from comfyard.workflow.graph import Graph, ancestors, prune
from comfyard.workflow.landings import input_at, landings, placeholders, substitute
from comfyard.workflow.node_class import Input
from comfyard.workflow.object_info import Knowledge, core

INPUT_FOLDERS = frozenset({"input", "input_subfolders", "3d"})
"""Of files that jobs bring, not of models."""


@dataclass(frozen=True)
class Use:
    """A model file that a template names.

    Attributes:
        path: On the claim, such as checkpoints/x.safetensors.
        by: What names it, in words: an input of a node, or a parameter and where it lands.
        place: Where it is named.
    """

    path: str
    by: str
    place: Place


def model_uses(spec: WorkflowTemplateSpec, knowledge: Knowledge | None = None) -> list[Use]:
    """Every file that a job of the template may load: named in the graph, or by a parameter's default, tier or choice.

    A name that is put together from parameters is not known yet; nor is what a job gives for a Model.
    """
    known = knowledge or core()
    needed = ancestors(spec.graph, (output.node for output in spec.outputs))
    targets = {(t.node, t.input) for p in spec.parameters for t in p.targets}
    found = [
        Use(f"{each.folder}/{value}", f"node {node_id} ({node['class_type']}), input {each.name}", place)
        for node_id, node in spec.graph.items()
        if node_id in needed
        for each, value in named_files(node, known)
        if (node_id, each.name) not in targets
        for place in [("spec", "graph", node_id, "inputs", each.name)]
    ]
    return found + list(_uses_of_parameters(spec, known, needed))


def _uses_of_parameters(spec: WorkflowTemplateSpec, knowledge: Knowledge, needed: set[str]) -> Iterator[Use]:
    places = landings(spec)
    for index, parameter in enumerate(spec.parameters):
        for landing in places[parameter.name]:
            each = input_at(spec, landing, knowledge) if landing.whole and landing.node in needed else None
            if each is None or not names_model(each):
                continue
            for value, key in named_values(parameter):
                if value not in each.fixed:
                    by = f"parameter {parameter.name} (for input {landing.input} of node {landing.node})"
                    yield Use(f"{each.folder}/{value}", by, ("spec", "parameters", index, *key))


def named_values(parameter: Parameter) -> Iterator[tuple[str, Place]]:
    """The values that the template itself gives to a parameter, and where below it."""
    if isinstance(parameter.default, str):
        yield parameter.default, ("default",)
    tiers = parameter.by_tier.to_api() if parameter.by_tier else {}
    yield from ((value, ("byTier", tier)) for tier, value in tiers.items())
    yield from ((value, ("choices", i)) for i, value in enumerate(parameter.choices))


def names_model(each: Input) -> bool:
    """Whether the input names a file of a model folder."""
    return each.folder is not None and each.folder not in INPUT_FOLDERS


def model_files(graph: Graph, knowledge: Knowledge | None = None) -> list[str]:
    """Paths of the model files that a graph with all values in place loads, sorted, each once."""
    known = knowledge or core()
    return sorted({f"{each.folder}/{value}" for node in graph.values() for each, value in named_files(node, known)})


def model_paths(spec: WorkflowTemplateSpec) -> list[str]:
    """Paths on the claim of the models that jobs of a template may load, sorted, each once."""
    return sorted({use.path for use in model_uses(spec)})


def graph_of(spec: WorkflowTemplateSpec, values: Mapping[str, Any]) -> Graph:
    """What the outputs need of the graph, with a job's values in place."""
    graph = substitute(spec.graph, values, spec.parameters)
    return prune(graph, (output.node for output in spec.outputs))


def model_choices(spec: WorkflowTemplateSpec, provided: Iterable[str]) -> dict[str, list[str]]:
    """What a job may name for each Model: the provided files of the folder that it lands in, sorted.

    Parameters that land in no input whose folder is known are left out.
    """
    paths = sorted(set(provided))
    places = landings(spec)
    found: dict[str, list[str]] = {}
    for parameter in (p for p in spec.parameters if p.type == "Model"):
        inputs = [each for landing in places[parameter.name] if (each := input_at(spec, landing, core()))]
        for each in filter(names_model, inputs):
            there = [
                *each.fixed,
                *(p.removeprefix(f"{each.folder}/") for p in paths if p.startswith(f"{each.folder}/")),
            ]
            found[parameter.name] = [name for name in found.get(parameter.name, there) if name in there]
    return found


def named_files(node: Mapping[str, Any], knowledge: Knowledge) -> Iterator[tuple[Input, str]]:
    """The inputs of a node that name a file of a model folder, with the name; not those with a placeholder."""
    known = knowledge.find(node["class_type"])
    for name, each in known.inputs_for(node["inputs"]).items() if known else ():
        value = node["inputs"].get(name)
        if isinstance(value, str) and names_model(each) and value not in each.fixed and not placeholders(value):
            yield each, value
