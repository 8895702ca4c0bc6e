"""From a pydantic model to the structural schema that a CustomResourceDefinition takes.

pydantic speaks JSON Schema 2020-12, the API server a subset of OpenAPI 3.0: no references, no null type, every value
typed outside of the combinators, no titles. What has no counterpart raises, so that nothing is lost silently.
"""

from typing import Any

from pydantic import BaseModel

_KEPT = frozenset(
    {
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "required",
        "type",
        "uniqueItems",
    }
)


class SchemaError(TypeError):
    """A model has something that a structural schema cannot say."""


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI v3 schema of a model's JSON form. Raises SchemaError."""
    whole = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(whole, whole.get("$defs", {}), model.__name__)


def _convert(node: dict[str, Any], defs: dict[str, Any], where: str) -> dict[str, Any]:
    if "$ref" in node:
        target = defs[node["$ref"].removeprefix("#/$defs/")]
        return _convert({**target, **{k: v for k, v in node.items() if k != "$ref"}}, defs, where)
    if "anyOf" in node:
        return _convert(_without_null(node, where), defs, where)
    out = {k: v for k, v in node.items() if k in _KEPT or k.startswith("x-kubernetes-")}
    if out.get("default", 0) is None:
        del out["default"]  # "not set" is the absence of a field in Kubernetes
    if out.pop("x-kubernetes-int-or-string", False):
        return _with_first({"x-kubernetes-int-or-string": True}, out, drop=("type",))
    if "items" in node:
        out["items"] = _convert(node["items"], defs, f"{where}[]")
    if "properties" in node:
        out["properties"] = {k: _convert(v, defs, f"{where}.{k}") for k, v in node["properties"].items()}
    elif isinstance(node.get("additionalProperties"), dict) and not out.get("x-kubernetes-preserve-unknown-fields"):
        out["additionalProperties"] = _convert(node["additionalProperties"], defs, f"{where}{{}}")
    if out.get("type") == "integer":
        out["format"] = "int64"
    if "type" not in out and not out.get("x-kubernetes-preserve-unknown-fields"):
        raise SchemaError(f"{where}: no type in {node}")
    return out


def _without_null(node: dict[str, Any], where: str) -> dict[str, Any]:
    """`X | None` is X that may be absent; `str | int` is int-or-string; any other union is refused."""
    rest = {k: v for k, v in node.items() if k != "anyOf"}
    options = [o for o in node["anyOf"] if o.get("type") != "null"]
    if len(options) == 1:
        return {**options[0], **rest}
    if {o.get("type") for o in options} == {"string", "integer"}:
        return {**rest, "x-kubernetes-int-or-string": True}
    raise SchemaError(f"{where}: a structural schema has no union of {options}")


def _with_first(first: dict[str, Any], rest: dict[str, Any], drop: tuple[str, ...]) -> dict[str, Any]:
    return {**first, **{k: v for k, v in rest.items() if k not in drop}}
