"""Manifests as they are written: values as kubectl reads them, and the line of each."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from comfyard.workflow.findings import Place

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times as fast, where there is one
_EXPONENT = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")
_DEEPEST = 100
_PREFIX = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Fault:
    """Why a text cannot be read, or not as its author thinks."""

    line: int
    message: str


@dataclass(frozen=True)
class Document:
    """One document of a file.

    Attributes:
        file: Its name.
        value: What it says, as JSON.
        lines: The line of every key and entry.
    """

    file: str
    value: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest that is there above it."""
        for length in range(len(place), -1, -1):
            if place[:length] in self.lines:
                return self.lines[place[:length]]
        return 1


def read_documents(file: str, text: str) -> Iterator[Document | Fault]:
    """The documents of a file, YAML or JSON, and what keeps others from being read."""
    if file.endswith(".json"):
        yield from _read_json(file, text)
        return
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            yield from _read_node(file, node)
    except yaml.MarkedYAMLError as error:
        yield Fault(_line_of(error), f"this is not YAML: {error.problem or error.context}")
    except yaml.YAMLError as error:
        yield Fault(1, f"this is not YAML: {error}")


def _line_of(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _read_json(file: str, text: str) -> Iterator[Document | Fault]:
    """JSON's own words count; YAML's reader, which takes nearly all of it, knows the lines."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        yield Fault(error.lineno, f"this is not JSON: {error.msg}")
        return
    try:
        lines = _Reading().read(yaml.compose(text.replace("\t", " "), Loader=_Loader)).lines
    except yaml.YAMLError:
        lines = {}
    yield Document(file, value, lines)


def _read_node(file: str, node: Node | None) -> Iterator[Document | Fault]:
    if node is None:
        return
    reading = _Reading()
    try:
        reading.read(node)
    except ConstructorError as error:
        yield Fault(_line_of(error), f"this is not YAML: {error.problem}")
        return
    yield from reading.faults
    yield Document(file, reading.value, reading.lines)


class _Reading:
    """One document while its nodes become values, as sigs.k8s.io/yaml makes them: keys are strings, dates are too."""

    def __init__(self) -> None:
        self.value: Any = None
        self.lines: dict[Place, int] = {}
        self.faults: list[Fault] = []
        self._constructor = SafeConstructor()

    def read(self, node: Node | None) -> "_Reading":
        if node:
            self.lines[()] = node.start_mark.line + 1
            self.value = self._convert(node, ())
        return self

    def _convert(self, node: Node, place: Place) -> Any:  # noqa: ANN401 - any JSON value
        if len(place) > _DEEPEST:
            raise ConstructorError(None, None, "it goes too deep, or holds itself", node.start_mark)
        match node:
            case MappingNode():
                return self._mapping(node, place)
            case SequenceNode():
                return [self._item(each, (*place, index)) for index, each in enumerate(node.value)]
            case ScalarNode():
                return self._scalar(node)
        raise ConstructorError(None, None, f"what is a {node.tag}?", node.start_mark)

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        written = [key.value for key, _ in node.value if isinstance(key, ScalarNode)]
        self._constructor.flatten_mapping(node)
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = self._key(key)
            if name in found and written.count(key.value) > 1:
                self.faults.append(Fault(key.start_mark.line + 1, f"key {name} is there twice; only one would count"))
            self.lines[(*place, name)] = key.start_mark.line + 1
            found[name] = self._convert(value, (*place, name))
        return found

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            raise ConstructorError(None, None, "a key must be a word", node.start_mark)
        value = self._scalar(node)
        return value if isinstance(value, str) else json.dumps(value)

    def _item(self, node: Node, place: Place) -> Any:  # noqa: ANN401 - any JSON value
        self.lines[place] = node.start_mark.line + 1
        return self._convert(node, place)

    def _scalar(self, node: ScalarNode) -> Any:  # noqa: ANN401 - any JSON value
        text = node.value
        match node.tag.removeprefix(_PREFIX):
            case "int" | "float" if ":" in text:  # YAML 1.1 takes 1:30 for 90; Kubernetes does not
                return text
            case "null" | "bool" | "int":
                return self._constructor.construct_object(node)
            case "float":
                return self._finite(node, self._constructor.construct_object(node))
            case "str" if not node.style and _EXPONENT.fullmatch(text):  # YAML 1.1 wants a dot in it
                return self._finite(node, float(text))
        return text

    def _finite(self, node: ScalarNode, value: float) -> float:
        if not math.isfinite(value):
            raise ConstructorError(None, None, f"{node.value} is no number of JSON", node.start_mark)
        return value
