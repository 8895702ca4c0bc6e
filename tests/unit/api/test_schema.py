from typing import Annotated, Literal

import pytest
from pydantic import Field

from comfyard.api.meta import FreeForm, Model, Quantity
from comfyard.api.schema import SchemaError, structural_schema


class Inner(Model):
    some_size: Quantity | None = None


class Outer(Model):
    kind: Literal["A", "B"] = "A"
    inner: Inner
    items: Annotated[list[Inner], Field(max_length=3)] = Field(default_factory=list)
    free: FreeForm = Field(default_factory=dict)
    labels: dict[str, Annotated[str, Field(max_length=5)]] = Field(default_factory=dict)
    number: Annotated[int, Field(ge=1)] | None = None


def test_references_are_resolved_and_names_are_camel_case() -> None:
    inner = structural_schema(Outer)["properties"]["inner"]
    assert inner["type"] == "object"
    assert inner["properties"]["someSize"]["x-kubernetes-int-or-string"] is True


def test_an_optional_value_is_an_absent_one() -> None:
    number = structural_schema(Outer)["properties"]["number"]
    assert number == {"type": "integer", "minimum": 1, "format": "int64"}


def test_a_free_form_object_keeps_what_is_unknown() -> None:
    free = structural_schema(Outer)["properties"]["free"]
    assert free == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_a_map_has_a_schema_for_its_values() -> None:
    assert structural_schema(Outer)["properties"]["labels"]["additionalProperties"] == {
        "type": "string",
        "maxLength": 5,
    }


def test_what_cannot_be_said_is_refused() -> None:
    class Wrong(Model):
        either: Inner | str

    with pytest.raises(SchemaError, match="either"):
        structural_schema(Wrong)
