"""Where parameters land in a graph: where {{name}} stands, and at their targets; and how they get there."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfyard.api.workflow_template import Parameter, WorkflowTemplateSpec
from comfyard.workflow.graph import Graph
from comfyard.workflow.memo import Memo
from comfyard.workflow.node_class import Input
from comfyard.workflow.object_info import Knowledge

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}")


@dataclass(frozen=True)
class Landing:
    """One input that a parameter sets.

    Attributes:
        node: Its node's id.
        input: Its name.
        whole: The value is all of it, with its type; otherwise it becomes part of a text or of a list.
    """

    node: str
    input: str
    whole: bool


def placeholders(value: object) -> set[str]:
    """Names in {{...}} anywhere in a JSON value."""
    match value:
        case str():
            return set(_PLACEHOLDER.findall(value))
        case Mapping():
            return {name for item in value.values() for name in placeholders(item)}
        case list():
            return {name for item in value for name in placeholders(item)}
        case _:
            return set()


def whole_placeholder(value: object) -> str | None:
    """The name, if the value is one placeholder and nothing else."""
    match = _PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else None


def landings(spec: WorkflowTemplateSpec) -> Mapping[str, Sequence[Landing]]:
    """Where each name lands, declared or not; targets of nodes that are not there are left out."""
    return _LANDINGS.get([spec], lambda: _find(spec))


_LANDINGS: Memo[Mapping[str, Sequence[Landing]]] = Memo(128)


def _find(spec: WorkflowTemplateSpec) -> dict[str, list[Landing]]:
    found: dict[str, list[Landing]] = {parameter.name: [] for parameter in spec.parameters}
    for name, landing in _landings(spec):
        found.setdefault(name, []).append(landing)
    return found


def _landings(spec: WorkflowTemplateSpec) -> Iterator[tuple[str, Landing]]:
    targets = {(t.node, t.input): p.name for p in spec.parameters for t in p.targets}
    for node_id, node in spec.graph.items():
        for name, value in node["inputs"].items():
            if (node_id, name) in targets:
                continue  # the target's value takes the place of what stands there
            whole = whole_placeholder(value)
            for each in sorted(placeholders(value)):
                yield each, Landing(node_id, name, whole=each == whole)
    for (node_id, name), parameter in targets.items():
        if node_id in spec.graph:
            yield parameter, Landing(node_id, name, whole=True)


def input_at(spec: WorkflowTemplateSpec, landing: Landing, knowledge: Knowledge) -> Input | None:
    """What is known of the input; None: nothing."""
    node = spec.graph[landing.node]
    known = knowledge.find(node["class_type"])
    return known.inputs_for(node["inputs"]).get(landing.input) if known else None


def describe(spec: WorkflowTemplateSpec, landing: Landing) -> str:
    """The input for a message."""
    return f"input {landing.input} of node {landing.node} ({spec.graph[landing.node]['class_type']})"


def substitute(graph: Graph, values: Mapping[str, Any], parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The graph with every value in place.

    A whole string "{{name}}" becomes the value with its type; inside a longer string it becomes text.
    """
    out = {node_id: {**node, "inputs": _replace(node["inputs"], values)} for node_id, node in graph.items()}
    for parameter in parameters:
        for target in parameter.targets:
            if parameter.name in values and target.node in out:
                out[target.node]["inputs"][target.input] = values[parameter.name]
    return out


def _replace(value: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case str():
            whole = whole_placeholder(value)
            if whole is not None and whole in values:
                return values[whole]
            return _PLACEHOLDER.sub(lambda m: _text(values[m[1]]) if m[1] in values else m[0], value)
        case Mapping():
            return {key: _replace(item, values) for key, item in value.items()}
        case list():
            return [_replace(item, values) for item in value]
        case _:
            return value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
