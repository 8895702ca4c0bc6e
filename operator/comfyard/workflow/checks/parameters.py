"""A template's parameters: against themselves, and against the inputs that they land in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from comfyard.api.workflow_template import Parameter, Target, WorkflowTemplateSpec
from comfyard.workflow.checks.literals import INT64, literal_problem
from comfyard.workflow.findings import Finding, Place, alike, error, listed, warning
from comfyard.workflow.graph import ancestors, as_link
from comfyard.workflow.landings import Landing, describe, input_at, landings
from comfyard.workflow.models import INPUT_FOLDERS, named_values, names_model
from comfyard.workflow.node_class import COMBO, Input
from comfyard.workflow.object_info import Knowledge, core
from comfyard.workflow.parameters import FILE_TYPES, MAX_SEED, inputs_at, value_problems

_UPLOADS: Mapping[str, str] = {
    "Image": "image_upload",
    "Mask": "image_upload",
    "Video": "video_upload",
    "Audio": "audio_upload",
}
"""The option with which an input says that the editor can upload a file of that kind to it."""


def check_parameters(spec: WorkflowTemplateSpec, knowledge: Knowledge) -> Iterator[Finding]:
    """What is wrong with a template's parameters, each with the fix."""
    yield from _undeclared(spec)
    yield from _several_seeds(spec)
    yield from _shared_targets(spec)
    places = landings(spec)
    needed = ancestors(spec.graph, (output.node for output in spec.outputs))
    for index, parameter in enumerate(spec.parameters):
        at = ("spec", "parameters", index)
        yield from _check_targets(spec, parameter, knowledge, at)
        yield from _check_goes_somewhere(parameter, places[parameter.name], needed, at)
        yield from _check_default(parameter, at)
        for landing in places[parameter.name]:
            each = input_at(spec, landing, knowledge) if landing.node in needed else None
            if each:
                misfits = list(_check_landing(spec, parameter, landing, each, at))
                yield from misfits or _check_values(spec, parameter, landing, knowledge, at)


def _undeclared(spec: WorkflowTemplateSpec) -> Iterator[Finding]:
    declared = [p.name for p in spec.parameters]
    known = ", ".join(sorted(declared)) or "none"
    for name, places in sorted(landings(spec).items()):
        if name not in declared:
            meant = alike(name, declared)
            hint = f" (did you mean {meant}?)" if meant else ""
            place = ("spec", "graph", places[0].node, "inputs", places[0].input)
            message = (
                f"{{{{{name}}}}} stands in the graph ({describe(spec, places[0])}) but is not among spec.parameters"
            )
            yield error(place, f"{message}; declared are: {known}{hint}")


def _several_seeds(spec: WorkflowTemplateSpec) -> Iterator[Finding]:
    seeds = [index for index, p in enumerate(spec.parameters) if p.type == "Seed"]
    for index in seeds[1:]:
        message = "spec.parameters has more than one Seed: a job has one, give the others the same {{name}}"
        yield error(("spec", "parameters", index), message)


def _shared_targets(spec: WorkflowTemplateSpec) -> Iterator[Finding]:
    owners: dict[tuple[str, str], str] = {}
    for index, parameter in enumerate(spec.parameters):
        for number, target in enumerate(parameter.targets):
            owner = owners.setdefault((target.node, target.input), parameter.name)
            if owner != parameter.name:
                where = f"input {target.input} of node {target.node}"
                message = f"parameter {parameter.name}: {where} is a target of parameter {owner} too; remove one"
                yield error(("spec", "parameters", index, "targets", number), message)


def _check_targets(
    spec: WorkflowTemplateSpec, parameter: Parameter, knowledge: Knowledge, at: Place
) -> Iterator[Finding]:
    for number, target in enumerate(parameter.targets):
        place = (*at, "targets", number)
        node = spec.graph.get(target.node)
        if node is None:
            there = ", ".join(spec.graph)
            message = f"parameter {parameter.name}: target node {target.node} is not in the graph; its nodes: {there}"
            yield error((*place, "node"), message)
        elif as_link(node["inputs"].get(target.input)):
            where = f"input {target.input} of node {target.node}"
            message = f"parameter {parameter.name}: {where} is linked; only a literal can be set"
            yield error((*place, "input"), message)
        else:
            yield from _check_target_input(parameter, target, node, knowledge, (*place, "input"))


def _check_target_input(
    parameter: Parameter, target: Target, node: Mapping[str, Any], knowledge: Knowledge, place: Place
) -> Iterator[Finding]:
    name = node["class_type"]
    known = knowledge.find(name)
    if known is None or "." in target.input:
        return
    there = known.inputs_for(node["inputs"])
    where = f"parameter {parameter.name}: target node {target.node} ({name})"
    if target.input not in there:
        # What is not ComfyUI's own may take inputs that it does not declare.
        find = error if name in core().classes else warning
        yield find(place, f"{where} has no input {target.input}; its inputs: {listed(there)}")
    elif not there[target.input].takes_literal:
        kind = there[target.input].type
        yield error(place, f"{where}: input {target.input} takes a link to an output of type {kind}, not a parameter")


def _check_goes_somewhere(
    parameter: Parameter, places: Sequence[Landing], needed: set[str], at: Place
) -> Iterator[Finding]:
    name = parameter.name
    if not places and not parameter.targets:
        yield error(at, f"parameter {name}: goes nowhere; put {{{{{name}}}}} into the graph or give it targets")
    elif places and needed.isdisjoint(landing.node for landing in places):
        nodes = ", ".join(dict.fromkeys(landing.node for landing in places))
        message = f"parameter {name}: has no effect, as no output needs what it sets (node {nodes}); remove it"
        yield warning(at, message)


def _check_default(parameter: Parameter, at: Place) -> Iterator[Finding]:
    name = parameter.name
    if parameter.type in FILE_TYPES:
        if parameter.default is not None:
            message = f"parameter {name}: a file ({parameter.type}) has no default; jobs give it in spec.inputs"
            yield error((*at, "default"), message)
        return
    optional = not parameter.required and parameter.type != "Seed"
    if optional and parameter.default is None and parameter.by_tier is None:
        yield error(at, f"parameter {name}: needs a default, or required: true")
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None and low > high:
        yield error(at, f"parameter {name}: its minimum {low:g} is more than its maximum {high:g}; no value fits")
    if parameter.default is not None:
        for message in value_problems(parameter, parameter.default):
            yield error((*at, "default"), f"parameter {name}: its default is wrong: {message}")


def _check_landing(
    spec: WorkflowTemplateSpec, parameter: Parameter, landing: Landing, each: Input, at: Place
) -> Iterator[Finding]:
    where = describe(spec, landing)
    head = f"parameter {parameter.name} ({parameter.type})"
    if not each.takes_literal:
        return  # told of the node's input, or of the target
    if not landing.whole:
        if parameter.type in FILE_TYPES:
            yield error(at, f"{head}: {where} holds more than {{{{{parameter.name}}}}}; a file's name must stand alone")
        return
    misfit = _MISFITS.get(each.type, _no_misfit)(parameter, each)
    if misfit:
        yield error(at, f"{head}: does not fit {where}: {misfit}")


def _check_values(
    spec: WorkflowTemplateSpec, parameter: Parameter, landing: Landing, knowledge: Knowledge, at: Place
) -> Iterator[Finding]:
    for where, each, trust in inputs_at(spec, [landing], knowledge):
        for value, key in _values(parameter):
            problem = literal_problem(each, value, trust)
            if problem:
                yield Finding(problem[0], (*at, *key), f"parameter {parameter.name}: for {where}, {problem[1]}")


def _values(parameter: Parameter) -> Iterator[tuple[object, Place]]:
    """What the template itself says may come: the default, the choices, the limits."""
    if parameter.type in FILE_TYPES or _is_wrong(parameter):
        return
    if parameter.default is not None and not isinstance(parameter.default, str):
        yield parameter.default, ("default",)
    yield from named_values(parameter)
    for name in ("minimum", "maximum"):
        limit = getattr(parameter, name)
        if limit is not None:
            yield int(limit) if float(limit).is_integer() and abs(limit) < INT64 else limit, (name,)


def _is_wrong(parameter: Parameter) -> bool:
    return parameter.default is not None and any(value_problems(parameter, parameter.default))


def _misfit_integer(parameter: Parameter, each: Input) -> str:
    match parameter.type:
        case "Seed" if each.maximum is not None and each.maximum < MAX_SEED:
            return f"it takes at most {each.maximum}, and seeds go to 2^64-1; make it an Integer with that maximum"
        case "String" | "Number":
            return "it takes an integer; make the parameter an Integer"
        case "Model" | "Image" | "Mask" | "Video" | "Audio":
            return "it takes an integer, not the name of a file"
    return ""


def _misfit_number(parameter: Parameter, _each: Input) -> str:
    match parameter.type:
        case "String":
            return "it takes a number; make the parameter a Number"
        case "Seed" | "Model" | "Image" | "Mask" | "Video" | "Audio":
            return "it takes a number; make the parameter a Number"
    return ""


def _misfit_boolean(parameter: Parameter, _each: Input) -> str:
    if parameter.type in {"Boolean", "Integer"}:
        return ""
    return "it takes true or false, and any text counts as true; make the parameter a Boolean"


def _misfit_combo(parameter: Parameter, each: Input) -> str:
    if names_model(each):
        fits = parameter.type in {"Model", "Choice"}
        return "" if fits else f"it names a file of folder {each.folder}; make the parameter a Model"
    if parameter.type == "Model":
        return "it does not name a file of a model folder; make the parameter a Choice"
    if each.folder in INPUT_FOLDERS:
        return _misfit_file(parameter, each)
    if parameter.type in FILE_TYPES:
        return "it takes one of its choices, not a file; make the parameter a Choice"
    return ""


def _misfit_file(parameter: Parameter, each: Input) -> str:
    kinds = [kind for kind, option in _UPLOADS.items() if each.options.get(option)]
    if parameter.type not in FILE_TYPES:
        return f"it names a file that jobs bring; make the parameter one of {', '.join(kinds or sorted(FILE_TYPES))}"
    if kinds and parameter.type not in kinds:
        return f"it takes a file of type {' or '.join(kinds)}"
    return ""


def _no_misfit(_parameter: Parameter, _each: Input) -> str:
    return ""


_MISFITS: Mapping[str, Callable[[Parameter, Input], str]] = {
    "INT": _misfit_integer,
    "FLOAT": _misfit_number,
    "BOOLEAN": _misfit_boolean,
    COMBO: _misfit_combo,
}
