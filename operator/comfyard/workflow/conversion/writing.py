"""One node in API format: its class, its values, and its links to nodes that the server runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from comfyard.workflow.conversion.editor import Node
from comfyard.workflow.conversion.problems import Problem, Reason
from comfyard.workflow.conversion.scope import Literal, Scope, WiringError
from comfyard.workflow.conversion.widgets import LayoutError, fits, read_widgets
from comfyard.workflow.conversion.wiring import Source, incoming
from comfyard.workflow.node_class import DISPLAY_TYPES, EDITOR_TYPES, Input, NodeClass

_EDITORS_INPUTS = {"CustomCombo": {"index": Input("index", "INT", required=False)}}
"""Inputs that the editor gives a class, and that the class takes without declaring them."""

_STARTING = {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False, "IMAGECOMPARE": ["", ""]}
"""What the editor shows where a class has no default."""


@dataclass
class Written:
    """What became of a node.

    Attributes:
        inputs: In API format.
        problems: Why it cannot be converted.
        notes: What was left out, one sentence each.
    """

    inputs: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def with_editors_inputs(node_class: NodeClass) -> NodeClass:
    """The class with those inputs that only the editor knows."""
    more = _EDITORS_INPUTS.get(node_class.name)
    return replace(node_class, inputs={**node_class.inputs, **more}) if more else node_class


def write(scope: Scope, node: Node, node_class: NodeClass) -> Written:
    """Write a node in API format.

    Args:
        scope: Where it lies.
        node: The node.
        node_class: Its class.
    """
    written = Written()
    try:
        values = read_widgets(node, node_class)
    except LayoutError as error:
        if any(each.required and each.type in EDITOR_TYPES for each in node_class.inputs.values()):
            return written  # no file has all of its values: the browser makes some
        _refuse(written, Reason.VALUES, scope, node, "", f"{error}; save it again in the editor of the server")
        return written
    if values.left_out:
        shown = ", ".join(map(repr, values.left_out))
        written.notes.append(f"{_place(scope, node)}: {shown} left out, as its class has no input for it here")
    sources = _sources(scope, node, node_class, written)
    literals = {name: value for name, value in values.by_input.items() if value is not None}
    literals |= {name: source.value for name, source in sources.items() if isinstance(source, Literal)}
    expected = node_class.inputs_for(dict.fromkeys(sources) | literals)
    for name, each in expected.items():
        source = sources.get(name)
        if isinstance(source, tuple):
            written.inputs[name] = list(source)
        elif source or (each.has_widget and each.type not in EDITOR_TYPES) or each.type in DISPLAY_TYPES:
            _set(written, scope, node, each, literals)
    for name in sorted(sources.keys() - expected.keys()):
        written.notes.append(f"{_place(scope, node)}: the link to {name} left out, as its class has no such input here")
    return written


def _set(written: Written, scope: Scope, node: Node, each: Input, literals: Mapping[str, Any]) -> None:
    value = literals.get(each.name, _default(each))
    if not fits(each, value):
        message = f"gets {value!r} from a widget elsewhere, which is no {each.type}; link it again in the editor"
        _refuse(written, Reason.VALUES, scope, node, each.name, message)
    elif value is not None:
        # A list would be a link, and is wrapped; the server unwraps it.
        written.inputs[each.name] = {"__value__": value} if isinstance(value, list) else value


def _default(each: Input) -> Any:  # noqa: ANN401 - any JSON
    """What the editor shows in a widget that the file has no value for."""
    if each.default is not None:
        return each.default
    return each.choices[0] if each.choices else _STARTING.get(each.type)


def _sources(scope: Scope, node: Node, node_class: NodeClass, written: Written) -> dict[str, Source]:
    """What comes to the node from elsewhere, by input."""
    found: dict[str, Source] = {}
    for name in [*node_class.inputs, *(slot.name for slot in node.inputs if slot.name not in node_class.inputs)]:
        slot = node.input(name)
        try:
            source = (incoming(scope, slot) if slot else None) or scope.override(node, name)
        except WiringError as error:
            _refuse(written, Reason.LINK, scope, node, name, str(error))
            continue
        if source:
            found[name] = source
    return found


def _place(scope: Scope, node: Node) -> str:
    return f"node {scope.id_of(node)} ({node.type})"


def _refuse(written: Written, reason: Reason, scope: Scope, node: Node, name: str, message: str) -> None:
    written.problems.append(Problem(reason, scope.id_of(node), node.type, name, message))
