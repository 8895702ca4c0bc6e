"""Parameters of a template: their JSON Schema, the values of a job, and where they land in the graph."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jsonschema

from comfyard.api.workflow_template import Parameter, WorkflowTemplateSpec
from comfyard.workflow.graph import Graph, as_link

MAX_SEED = 2**64 - 1
"""ComfyUI's seeds are unsigned 64-bit; JSON numbers of the API server are not, so that seeds are strings there."""

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}")
_SEED_PATTERN = r"^[0-9]{1,20}$"


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


def parameter_schema(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """JSON Schema of a job's `spec.parameters`, for checks here and for forms elsewhere."""
    return {
        "type": "object",
        "properties": {p.name: _schema_of(p) for p in parameters},
        "required": sorted(p.name for p in parameters if p.required and p.default is None),
        "additionalProperties": False,
    }


def _schema_of(parameter: Parameter) -> dict[str, Any]:
    types: dict[str, dict[str, Any]] = {
        "String": {"type": "string"},
        "Integer": {"type": "integer"},
        "Number": {"type": "number"},
        "Boolean": {"type": "boolean"},
        "Seed": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _SEED_PATTERN}]},
        "Choice": {"type": "string", "enum": parameter.choices},
    }
    optional = {
        "description": parameter.description or None,
        "default": parameter.default,
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "maxLength": parameter.max_length,
    }
    return types[parameter.type] | {key: _whole(value) for key, value in optional.items() if value is not None}


def _whole(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """60.0 as 60: the API server hands bounds over as floats, and people read them in messages."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def check_parameters(spec: WorkflowTemplateSpec) -> list[str]:
    """What is wrong with a template's parameters, each with the fix."""
    problems: list[str] = []
    declared = {p.name for p in spec.parameters}
    used = placeholders(dict(spec.graph))
    problems += [
        f"{{{{{name}}}}} stands in the graph but is not among spec.parameters; declared are: {_names(declared)}"
        for name in sorted(used - declared)
    ]
    if len([p for p in spec.parameters if p.type == "Seed"]) > 1:
        problems.append("spec.parameters has more than one Seed: a job has one, give the others the same {{name}}")
    for parameter in spec.parameters:
        problems += _check_parameter(spec, parameter, used)
    return problems


def _check_parameter(spec: WorkflowTemplateSpec, parameter: Parameter, used: set[str]) -> Iterable[str]:
    name = parameter.name
    for target in parameter.targets:
        node = spec.graph.get(target.node)
        if node is None:
            yield f"parameter {name}: target node {target.node} is not in the graph"
        elif as_link(node["inputs"].get(target.input)):
            yield f"parameter {name}: input {target.input} of node {target.node} is linked; only a literal can be set"
    if not parameter.targets and name not in used:
        yield f"parameter {name}: goes nowhere; put {{{{{name}}}}} into the graph or give it targets"
    if not parameter.required and parameter.default is None and parameter.type != "Seed":
        yield f"parameter {name}: needs a default, or required: true"
    if parameter.default is not None:
        for message in _violations(_schema_of(parameter), parameter.default):
            yield f"parameter {name}: its default is wrong: {message}"


def resolve(spec: WorkflowTemplateSpec, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values that a job is rendered with (defaults filled in, no seed), and what is wrong with those given."""
    schema = parameter_schema(spec.parameters)
    validator = jsonschema.Draft202012Validator(schema)
    problems = [_explain(error, schema, given) for error in validator.iter_errors(dict(given))]
    values = {p.name: given.get(p.name, p.default) for p in spec.parameters if p.type != "Seed"}
    return {name: value for name, value in values.items() if value is not None}, sorted(problems)


def given_seed(spec: WorkflowTemplateSpec, given: Mapping[str, Any]) -> int | None:
    """The seed that a job asks for, or the template's default, or None: draw one. Raises ValueError over 2^64-1."""
    for parameter in spec.parameters:
        if parameter.type == "Seed":
            value = given.get(parameter.name, parameter.default)
            if value is None:
                return None
            if int(value) > MAX_SEED:
                raise ValueError(f"parameter {parameter.name}: {value} is more than the largest seed, {MAX_SEED}")
            return int(value)
    return None


def _violations(schema: dict[str, Any], value: object) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(value)]


def _explain(error: jsonschema.ValidationError, schema: dict[str, Any], given: Mapping[str, Any]) -> str:
    known = schema["properties"]
    if error.validator == "additionalProperties":
        return f"unknown parameter {_names(set(given) - set(known))}; the template has: {_names(known)}"
    if error.validator == "required":
        missing = error.message.split("'")[1]
        return f"parameter {missing} is required; give it in spec.parameters"
    name = error.path[0] if error.path else ""
    return f"parameter {name}: {error.message}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


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
            whole = _PLACEHOLDER.fullmatch(value)
            if whole and whole[1] in values:
                return values[whole[1]]
            return _PLACEHOLDER.sub(lambda m: _text(values[m[1]]) if m[1] in values else m[0], value)
        case Mapping():
            return {key: _replace(item, values) for key, item in value.items()}
        case list():
            return [_replace(item, values) for item in value]
        case _:
            return value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
