"""Manifests are read as kubectl reads them, and every value has its line."""

import pytest

from comfyard.cli.manifests import Document, Fault, read_documents

TEXT = """\
# a comment
a: {1: x, true: y}
day: 2024-01-01
ratio: 1:30
big: 18446744073709551615
exponent: 6e1
quoted: "6e1"
base: &base {x: 1, y: 2}
merged:
  <<: *base
  y: 3
list:
- one
-
  two: 2
---
second: null
"""


def read(text: str, file: str = "t.yaml") -> list[Document | Fault]:
    return list(read_documents(file, text))


def test_values_are_those_that_the_api_server_gets() -> None:
    first, second = read(TEXT)
    assert isinstance(first, Document)
    assert first.value == {
        "a": {"1": "x", "true": "y"},
        "day": "2024-01-01",
        "ratio": "1:30",
        "big": 18446744073709551615,
        "exponent": 60.0,
        "quoted": "6e1",
        "base": {"x": 1, "y": 2},
        "merged": {"x": 1, "y": 3},
        "list": ["one", {"two": 2}],
    }
    assert isinstance(second, Document)
    assert second.value == {"second": None}


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((), 2),
        (("day",), 3),
        (("merged", "y"), 11),
        (("list", 0), 13),
        (("list", 1, "two"), 15),
        (("list", 1, "three", "deeper"), 15),
        (("nowhere",), 2),
    ],
)
def test_a_place_has_a_line(place: tuple[str | int, ...], line: int) -> None:
    first = read(TEXT)[0]
    assert isinstance(first, Document)
    assert first.line(place) == line


def test_json_is_read_by_its_own_rules() -> None:
    [found] = read('{\n\t"a": "\\ud83d\\ude00",\n\t"b": [1]\n}', "t.json")
    assert isinstance(found, Document)
    assert found.value == {"a": "\U0001f600", "b": [1]}
    [found] = read('{\n\t"a": "x",\n\t"b": [1]\n}', "t.json")
    assert isinstance(found, Document)
    assert found.line(("b",)) == 3
    assert read("{\n'a': 1}", "t.json") == [
        Fault(2, "this is not JSON: Expecting property name enclosed in double quotes")
    ]


def test_what_follows_a_fault_is_not_read() -> None:
    first, fault = read("a: 1\n---\nb: [\n---\nc: 3\n")
    assert isinstance(first, Document)
    assert isinstance(fault, Fault)
    assert fault.line == 4
