"""Parameters of a template: their JSON Schema, and the values of a job."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import jsonschema

from comfyard.api.generation_job import JobInput
from comfyard.api.workflow_template import FileType, Parameter, WorkflowTemplateSpec
from comfyard.workflow.checks.literals import literal_problem, lost_digits, shown
from comfyard.workflow.checks.trust import Trust, trust_in
from comfyard.workflow.findings import Finding, alike, error, errors
from comfyard.workflow.landings import Landing, describe, input_at, landings
from comfyard.workflow.memo import Memo
from comfyard.workflow.node_class import Input
from comfyard.workflow.object_info import Knowledge, core

MAX_SEED = 2**64 - 1
"""ComfyUI's seeds are unsigned 64-bit; JSON numbers of the API server are not, so that seeds are strings there."""

FILE_TYPES = frozenset(get_args(FileType))

_SEED_PATTERN = r"^[0-9]{1,20}$"
_GIVEN = ("spec", "parameters")


def parameter_schema(spec: WorkflowTemplateSpec, files: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """JSON Schema of a job's `spec.parameters`, for checks here and for forms elsewhere.

    Args:
        spec: The template.
        files: What each Model may name, by parameter; those that are left out may name anything.

    Returns:
        The schema. `x-order` has the names in the template's order; `x-comfyard-inputs` what a job gives in
        `spec.inputs` instead, as files have no place among values.
    """
    valued = [p for p in spec.parameters if p.type not in FILE_TYPES]
    schema = {
        "type": "object",
        "title": spec.title or None,
        "description": spec.description or None,
        "properties": {p.name: _schema_of(p, (files or {}).get(p.name)) for p in valued},
        "required": sorted(p.name for p in valued if _must_be_given(p)),
        "additionalProperties": False,
        "x-order": [p.name for p in spec.parameters],
        "x-comfyard-inputs": [
            {"name": p.name, "type": p.type} | ({"description": p.description} if p.description else {})
            for p in spec.parameters
            if p.type in FILE_TYPES
        ],
    }
    return {key: value for key, value in schema.items() if value is not None and (value or key != "x-comfyard-inputs")}


def _must_be_given(parameter: Parameter) -> bool:
    return parameter.required and parameter.default is None and parameter.by_tier is None


def _schema_of(parameter: Parameter, files: Sequence[str] | None) -> dict[str, Any]:
    types: dict[str, dict[str, Any]] = {
        "String": {"type": "string"},
        "Integer": {"type": "integer"},
        "Number": {"type": "number"},
        "Boolean": {"type": "boolean"},
        "Seed": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _SEED_PATTERN}]},
        "Choice": {"type": "string", "enum": parameter.choices},
        "Model": {"type": "string"} | ({} if files is None else {"enum": list(files)}),
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


def value_problems(
    parameter: Parameter, value: object, validator: jsonschema.Draft202012Validator | None = None
) -> Iterator[str]:
    """What is wrong with a value for a parameter, be it given or the default; `validator` is that of its schema."""
    if parameter.type in {"Seed", "Integer"}:
        lost = lost_digits(value)
        if lost and lost[0] == "Error":
            yield lost[1]
            return
    found = list((validator or _validator_of(parameter)).iter_errors(value))
    if parameter.type == "Seed":
        if found or int(str(value)) > MAX_SEED:
            yield f"{shown(value)} is no seed: that is an integer from 0 to {MAX_SEED}, in quotes if it is over 2^53"
        return
    yield from (each.message for each in found)


def _validator_of(parameter: Parameter) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(_schema_of(parameter, None))


def resolve(
    spec: WorkflowTemplateSpec, given: Mapping[str, Any], tier: str | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The values that one job is rendered with, and what is wrong with those given: see Values.resolve.

    Thousands of jobs come of one template: what its parameters are held against is made once.
    """
    return _VALUES.get([spec], lambda: Values(spec)).resolve(given, tier)


@dataclass(frozen=True)
class _Entry:
    """A parameter, and what its values are held against: its schema, and the inputs that take them whole."""

    parameter: Parameter
    validator: jsonschema.Draft202012Validator
    inputs: Sequence[tuple[str, Input, Trust]]


class Values:
    """The parameters of a template, ready for the values of many jobs.

    Args:
        spec: The template, its graph in its place.
        knowledge: Of the inputs that the values are for. None: ComfyUI's own.
    """

    def __init__(self, spec: WorkflowTemplateSpec, knowledge: Knowledge | None = None) -> None:
        self._spec = spec
        self._names = [p.name for p in spec.parameters]
        places = landings(spec)
        known = knowledge or core()
        self._entries = [
            _Entry(p, _validator_of(p), list(inputs_at(spec, places[p.name], known)))
            for p in spec.parameters
            if p.type not in FILE_TYPES
        ]

    def resolve(self, given: Mapping[str, Any], tier: str | None = None) -> tuple[dict[str, Any], list[str]]:
        """The values that a job is rendered with, and what is wrong with those given.

        Args:
            given: The job's `spec.parameters`.
            tier: Of the profile that runs it. None: not decided yet; a Model that a tier decides has no value yet.

        Returns:
            Values by parameter, defaults filled in, without the seed and without files; and the problems, each with
            the fix, sorted.
        """
        values = {
            e.parameter.name: _value(e.parameter, given, tier) for e in self._entries if e.parameter.type != "Seed"
        }
        problems = errors(self.check(given))
        if tier is not None:
            problems += tier_problems(self._spec, given, tier)
        return {name: value for name, value in values.items() if value is not None}, sorted(problems)

    def check(self, given: Mapping[str, Any]) -> list[Finding]:
        """What is wrong with a job's values, against the parameters and against the inputs that they land in."""
        found = [self._unknown(name) for name in given if name not in self._names]
        found += [
            error((*_GIVEN, p.name), f"parameter {p.name} is a file ({p.type}): give it in spec.inputs")
            for p in self._spec.parameters
            if p.type in FILE_TYPES and given.get(p.name) is not None
        ]
        for entry in self._entries:
            found += _check_value(entry, given.get(entry.parameter.name))
        return found

    def _unknown(self, name: str) -> Finding:
        meant = alike(name, self._names)
        hint = f" (did you mean {meant}?)" if meant else ""
        has = ", ".join(sorted(self._names)) or "none"
        return error((*_GIVEN, name), f"unknown parameter {name}; the template has: {has}{hint}")


_VALUES: Memo[Values] = Memo(128)


def inputs_at(
    spec: WorkflowTemplateSpec, places: Iterable[Landing], knowledge: Knowledge
) -> Iterator[tuple[str, Input, Trust]]:
    """The inputs that take a parameter's value whole, as far as they are known: in words, what they take, how sure."""
    for landing in places:
        each = input_at(spec, landing, knowledge) if landing.whole else None
        if each and each.takes_literal:
            yield describe(spec, landing), each, trust_in(spec.graph[landing.node]["class_type"], knowledge)


def _check_value(entry: _Entry, value: object) -> Iterator[Finding]:
    parameter = entry.parameter
    head, place = f"parameter {parameter.name}", (*_GIVEN, parameter.name)
    if value is None:
        if _must_be_given(parameter):
            yield error(_GIVEN, f"{head} is required; give it in spec.parameters")
        return
    wrong = [error(place, f"{head}: {each}") for each in value_problems(parameter, value, entry.validator)]
    yield from wrong
    for where, each, trust in entry.inputs if not wrong else ():
        problem = literal_problem(each, str(value) if parameter.type == "Seed" else value, trust)
        if problem:
            yield Finding(problem[0], place, f"{head}: for {where}, {problem[1]}")


def tier_problems(spec: WorkflowTemplateSpec, given: Mapping[str, Any], tier: str) -> list[str]:
    """Models that have no file on profiles of a tier."""
    return [
        f"parameter {p.name}: has no file for profiles of tier {tier}; give it in spec.parameters, or have "
        f"byTier.{tier} or a default added to the template"
        for p in spec.parameters
        if p.type == "Model" and not _must_be_given(p) and _value(p, given, tier) is None
    ]


def _value(parameter: Parameter, given: Mapping[str, Any], tier: str | None) -> Any:  # noqa: ANN401 - any JSON value
    if given.get(parameter.name) is not None:
        return given[parameter.name]
    if parameter.by_tier is None:
        return parameter.default
    if tier is None:
        return None
    return getattr(parameter.by_tier, tier.lower()) or parameter.default


def check_inputs(spec: WorkflowTemplateSpec, inputs: Iterable[JobInput]) -> list[Finding]:
    """Whether a job gives the file of every parameter that is one, and no other. A file has no default: all must be."""
    given = list(inputs)
    by_name = {p.name: p for p in spec.parameters}
    files = [p.name for p in spec.parameters if p.type in FILE_TYPES]
    found: list[Finding] = []
    for index, each in enumerate(given):
        place = ("spec", "inputs", index, "parameter")
        parameter = by_name.get(each.parameter)
        if parameter is None:
            there = ", ".join(files) or "none"
            message = f"input {each.parameter}: the template has no such parameter; those that take a file: {there}"
            found.append(error(place, message))
        elif parameter.type not in FILE_TYPES:
            message = f"input {each.parameter}: is a {parameter.type}, not a file; give it in spec.parameters"
            found.append(error(place, message))
    missing = [name for name in files if name not in {each.parameter for each in given}]
    return found + [
        error(("spec",), f"parameter {name} ({by_name[name].type}) needs a file; give it in spec.inputs")
        for name in missing
    ]


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
