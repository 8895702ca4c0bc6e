"""From what is typed to an order: values by the types of the template's parameters, files, profiles."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from comfyard.api.generation_job import JobInput
from comfyard.api.workflow_template import Parameter, ParameterType, WorkflowTemplateSpec
from comfyard.cli.session import UsageError
from comfyard.workflow.findings import errors
from comfyard.workflow.parameters import FILE_TYPES, check_inputs, resolve

_FROM_FILE = "@"
_INTEGER = re.compile(r"[+-]?[0-9]+")
_FORMS = "url:https://…, claim:NAME/PATH or job:NAME/OUTPUT[/INDEX]"


def typed_values(spec: WorkflowTemplateSpec, given: Iterable[str]) -> dict[str, Any]:
    """Values for spec.parameters, each of its parameter's type.

    Args:
        spec: Of the template.
        given: NAME=VALUE, or NAME=@FILE for the content of a file; a leading @ that is meant is written @@.

    Raises:
        UsageError: A value is not of its type.
    """
    by_name = {parameter.name: parameter for parameter in spec.parameters}
    return {name: _typed(by_name.get(name), name, text) for name, text in pairs("-p", given)}


def check_order(spec: WorkflowTemplateSpec, values: Mapping[str, Any], inputs: Iterable[JobInput]) -> None:
    """Say what the operator would say of an order's values and files. Raises UsageError."""
    _, problems = resolve(spec, values)
    files = errors(check_inputs(spec, inputs))
    if files:
        problems.append(f"{'; '.join(files)}: -i NAME=FORM, where FORM is {_FORMS}")
    if problems:
        raise UsageError("; ".join(problems))


def pairs(option: str, given: Iterable[str]) -> list[tuple[str, str]]:
    """NAME=VALUE as pairs. Raises UsageError for one without =, or a name that comes twice."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {text}: write it as NAME=VALUE")
        if name in found:
            raise UsageError(f"{option} {name} is given twice")
        found[name] = value
    return list(found.items())


def _typed(parameter: Parameter | None, name: str, text: str) -> Any:  # noqa: ANN401 - any JSON value
    value = _content(name, text)
    if parameter is None:
        return value  # the operator's words for what the template does not have are better
    if parameter.type in FILE_TYPES:
        raise UsageError(f"parameter {name} is a file ({parameter.type}): give it with -i {name}=FORM, {_FORMS}")
    read = _READERS.get(parameter.type)
    if read is None:
        return value
    try:
        return read(value.strip())
    except ValueError:
        raise UsageError(f"parameter {name}: {value!r} is no {parameter.type}; {_EXAMPLES[parameter.type]}") from None


def _content(name: str, text: str) -> str:
    if not text.startswith(_FROM_FILE):
        return text
    rest = text.removeprefix(_FROM_FILE)
    if rest.startswith(_FROM_FILE):
        return rest
    try:
        return Path(rest).read_text(encoding="utf-8").removesuffix("\n")  # which editors end files with
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is no text in UTF-8"
        fix = "correct the path, or write @@ for a value that begins with @"
        raise UsageError(f"parameter {name}: cannot read file {rest!r}: {why}; {fix}") from None


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    """A whole number stays one, so that the order reads as it was typed."""
    if _INTEGER.fullmatch(text):
        return int(text)
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(text)
    return text == "true"


_READERS: Mapping[ParameterType, Callable[[str], Any]] = {
    "Integer": _integer,
    "Number": _number,
    "Boolean": _boolean,
}
_EXAMPLES: Mapping[ParameterType, str] = {
    "Integer": "write digits, such as 25",
    "Number": "write a number, such as 0.75",
    "Boolean": "write true or false",
}


def typed_inputs(given: Iterable[str]) -> list[JobInput]:
    """The list for spec.inputs, from NAME=FORM. Raises UsageError when a form is none that an order can have."""
    return [_input(name, form) for name, form in pairs("-i", given)]


def _input(name: str, form: str) -> JobInput:
    kind, _, rest = form.partition(":")
    first, _, others = rest.removeprefix("//").partition("/")
    source: dict[str, Any]
    match kind:
        case "http" | "https":
            source = {"url": form}
        case "url":
            source = {"url": rest}
        case "claim" if first and others:
            source = {"claim": {"name": first, "path": others}}
        case "job" if first and others:
            output, _, index = others.partition("/")
            source = {"job": {"name": first, "output": output, "index": index or 0}}
        case _:
            raise UsageError(
                f"-i {name}={form}: a file of this machine cannot be sent with an order; put it on a claim or a web "
                f"server, and name it as {_FORMS} (s3: in a manifest only, with its secretRef)"
            )
    try:
        return JobInput.model_validate({"parameter": name, **source})
    except ValidationError:
        raise UsageError(f"-i {name}={form} cannot be an input; name the file as {_FORMS}") from None


def choose_profiles(given: Sequence[str], there: Sequence[str] | None) -> list[str]:
    """The profiles of an order.

    Args:
        given: Named for it.
        there: All of the cluster; None: they may not be listed.

    Raises:
        UsageError: One is not there, or none is named and there is not exactly one.
    """
    if given:
        unknown = sorted(set(given) - set(there)) if there is not None else []
        if unknown:
            raise UsageError(f"hardwareprofiles.comfyard.io {', '.join(unknown)} not found ({_those(there)})")
        return list(dict.fromkeys(given))
    if there is None:
        raise UsageError("you may not list hardwareprofiles.comfyard.io; name one with --profile")
    if len(there) != 1:
        raise UsageError(f"name a HardwareProfile with --profile ({_those(there)})")
    return list(there)


def _those(names: Sequence[str] | None) -> str:
    return f"there: {', '.join(sorted(names or [])) or 'none'}"
