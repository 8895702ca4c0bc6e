"""What the API server says of a manifest, by the same schemas and rules, without one."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import cel
import jsonschema

from comfyard.api.crds import DEFINITIONS, build_crd
from comfyard.workflow.checks.literals import shown
from comfyard.workflow.findings import Finding, Place, alike, error, listed

_FREE = "x-kubernetes-preserve-unknown-fields"
_RULES = "x-kubernetes-validations"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_OLD = "oldSelf"

KINDS = frozenset(definition.kind for definition in DEFINITIONS)


def check_schema(kind: str, manifest: Mapping[str, Any]) -> list[Finding]:
    """What is wrong with a manifest's fields; rules that look at several are only asked when each is right.

    Args:
        kind: One of KINDS.
        manifest: The whole object.
    """
    schema = _schema(kind)
    found = [each for wrong in _validator(kind).iter_errors(manifest) for each in _explain(wrong)]
    found += _duplicates(schema, manifest, ())
    return found or list(_broken_rules(schema, _with_name(manifest), ()))


def _with_name(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """As the API server would complete it: five characters behind generateName."""
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {"name": f"{metadata.get('generateName', '')}-----", **metadata}}


@cache
def _schema(kind: str) -> dict[str, Any]:
    definition = next(each for each in DEFINITIONS if each.kind == kind)
    schema: dict[str, Any] = build_crd(definition)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    named = {"name": {"type": "string", "minLength": 1}, "generateName": {"type": "string", "minLength": 1}}
    metadata = {"type": "object", "properties": named, "anyOf": [{"required": [each]} for each in named], _FREE: True}
    return {
        **schema,
        "properties": {**schema["properties"], "metadata": metadata},
        "required": [*schema["required"], "metadata"],
    }


@cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(_closed(_schema(kind)))


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """In JSON Schema's words what Kubernetes means: unknown fields are refused, as `kubectl apply` does."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: _closed(each) for name, each in schema["properties"].items()}
        if not schema.get(_FREE):
            closed["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), Mapping):
        closed["additionalProperties"] = _closed(schema["additionalProperties"])
    if "items" in schema:
        closed["items"] = _closed(schema["items"])
    if schema.get(_INT_OR_STRING):
        closed["type"] = ["integer", "string"]
    return closed


def path_of(place: Place) -> str:
    """A place as kubectl writes it: spec.models[0].path."""
    parts = (f"[{each}]" if isinstance(each, int) else f".{each}" for each in place)
    return "".join(parts).removeprefix(".") or "the manifest"


def _explain(wrong: jsonschema.ValidationError) -> Iterator[Finding]:
    place = tuple(wrong.absolute_path)
    where = path_of(place)
    if wrong.validator == "additionalProperties":
        schema: Any = wrong.schema
        given: Any = wrong.instance
        known = list(schema["properties"])
        for name in (each for each in given if each not in known):
            meant = alike(name, known)
            hint = f"; did you mean {meant}?" if meant else f"; known are: {listed(known, 30)}"
            yield error((*place, name), f"unknown field {path_of((*place, name))}{hint}")
    elif wrong.validator == "required":
        name = wrong.message.split("'")[1]  # one error for each field; only the message says which
        yield error(place, f"{path_of((*place, name))} is missing; give it")
    elif wrong.validator == "anyOf":
        yield error(place, f"{where} has no name; give it metadata.name")
    else:
        say = _WORDS.get(str(wrong.validator))
        yield error(place, f"{where}: {say(wrong.instance, wrong.validator_value) if say else wrong.message}")


_WORDS: Mapping[str, Callable[[Any, Any], str]] = {
    "type": lambda value, kind: (
        f"must be of type {' or '.join(kind) if isinstance(kind, list) else kind}, not {shown(value)}"
    ),
    "enum": lambda value, known: f"{shown(value)} is none of {listed(known)}",
    "minimum": lambda value, limit: f"{value} is less than {limit}",
    "maximum": lambda value, limit: f"{value} is more than {limit}",
    "minLength": lambda value, limit: f"{shown(value)} is shorter than {limit} characters",
    "maxLength": lambda value, limit: f"has {len(value)} characters, and may have {limit}",
    "minItems": lambda value, limit: f"has {len(value)} entries, and needs {limit}",
    "maxItems": lambda value, limit: f"has {len(value)} entries, and may have {limit}",
    "maxProperties": lambda value, limit: f"has {len(value)} keys, and may have {limit}",
    "pattern": lambda value, pattern: f"{shown(value)} does not match {pattern}",
}


def _duplicates(schema: Mapping[str, Any], value: object, place: Place) -> Iterator[Finding]:
    keys = schema.get("x-kubernetes-list-map-keys")
    is_set = schema.get("x-kubernetes-list-type") == "set"
    if isinstance(value, list) and (keys or is_set):
        seen: list[object] = []
        for index, each in enumerate(value):
            one = each if is_set else [each.get(key) for key in keys or ()] if isinstance(each, Mapping) else None
            if one is not None and one in seen:
                words = shown(one if is_set else ", ".join(map(str, one)))
                yield error((*place, index), f"{path_of((*place, index))}: {words} is there already; remove one")
            seen.append(one)
    for key, each, below in _below(schema, value):
        yield from _duplicates(below, each, (*place, key))


def _broken_rules(schema: Mapping[str, Any], value: object, place: Place) -> Iterator[Finding]:
    """The rules in CEL that do not compare with what was there before."""
    for rule in schema.get(_RULES, ()):
        if _OLD not in rule["rule"] and cel.evaluate(rule["rule"], {"self": _known(schema, value)}) is not True:
            yield error(place, f"{path_of(place)}: {rule['message']}")
    for key, each, below in _below(schema, value):
        yield from _broken_rules(below, each, (*place, key))


def _below(schema: Mapping[str, Any], value: object) -> Iterator[tuple[str | int, object, Mapping[str, Any]]]:
    match value:
        case Mapping():
            for name, below in schema.get("properties", {}).items():
                if name in value:
                    yield name, value[name], below
        case list() if "items" in schema:
            for index, each in enumerate(value):
                yield index, each, schema["items"]


def _known(schema: Mapping[str, Any], value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value as rules see it: with defaults, without what is in fields whose content the schema does not know."""
    match value:
        case Mapping() if schema.get("properties"):
            defaults = {name: below["default"] for name, below in schema["properties"].items() if "default" in below}
            known = ((name, each, schema["properties"].get(name)) for name, each in {**defaults, **value}.items())
            return {name: _known(below, each) for name, each, below in known if below is not None}
        case Mapping() if schema.get(_FREE):
            return {}
        case list():
            return [_known(schema.get("items", {}), each) for each in value]
    return value
