"""Whose the values in `widgets_values` are.

The editor writes what its widgets show from top to bottom, without names. The widgets of a node are those of its
class' inputs, in the order of their declaration, linked or not, and some that belong to the editor alone: what happens
to a seed after a run, a button for uploads, a player.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfyard.workflow.conversion.editor import Node
from comfyard.workflow.node_class import COMBO, DYNAMIC_COMBO, Input, NodeClass

_AFTER_GENERATE = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
_OF_UPLOADS = frozenset({"image", "audio", "video", "", None})
_SHOWN = 40
_UPLOADS = ("image_upload", "audio_upload", "video_upload", "file_upload")


class LayoutError(ValueError):
    """Nobody can tell whose the values are; the text says why."""


@dataclass(frozen=True)
class Values:
    """What a node's widgets show.

    Attributes:
        by_input: By the name of the input.
        left_out: Values of widgets that the class does not have.
    """

    by_input: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[Any, ...] = ()


def read_widgets(node: Node, node_class: NodeClass) -> Values:
    """The values of a node's widgets.

    The file may be of another version than the class. If it tells the names of its widgets, they decide. Else the
    values are laid out as the class declares them. Where their number is not that of the widgets, this takes the others
    to be added at the end, as the editor does, if the values still make sense where they land.

    Raises:
        LayoutError: The values do not fit.
    """
    if isinstance(node.widgets_values, dict):
        return _pick(node.widgets_values, node_class)
    named = _as_named(node, node_class)
    if named is not None:
        return named
    values, complete = _as_declared(node, node_class)
    misfit = _misfit(values.by_input, node_class, complete=complete)
    if misfit is not None:
        raise LayoutError(
            f"the file has {len(node.positional)} values for its widgets, and {_short(values.by_input[misfit])} would "
            f"be that of {misfit}, where it makes no sense: the file is of another version of this class"
        )
    return values


def _misfit(values: Mapping[str, Any], node_class: NodeClass, *, complete: bool) -> str | None:
    """The last input whose value makes no sense; None if all do.

    With too many values or too few, a widget in the middle may have come or gone, which moves all values behind it.
    So a value that is not among the choices is taken for a new choice only if a later one is where it belongs.
    """
    anchored = complete
    inputs = node_class.inputs_for(values)
    for name in reversed([name for name in values if name in inputs]):
        each = inputs[name]
        exact = fits(each, values[name], exactly=True)
        if not exact and not (anchored and fits(each, values[name])):
            return name
        anchored = anchored or (exact and bool(each.choices))
    return None


def fits(each: Input, value: object, *, exactly: bool = False) -> bool:
    """Whether a widget of this input could show the value.

    Args:
        each: The input.
        value: The value; None stands for nothing. ComfyUI converts what only looks different ("64").
        exactly: It must be one of the choices and within the limits. Otherwise only its type counts, as another version
            has other choices.
    """
    if value is None:
        return True
    if each.type in {"INT", "FLOAT"}:
        return _fits_number(each, value, exactly=exactly)
    if each.type in {COMBO, DYNAMIC_COMBO}:
        return _fits_choices(each, value, exactly=exactly)
    if each.type == "STRING":
        return isinstance(value, str | int | float) and not isinstance(value, bool)
    return isinstance(value, bool) or each.type != "BOOLEAN"


def _fits_choices(each: Input, value: object, *, exactly: bool) -> bool:
    if each.choices is None:
        return isinstance(value, str) and value not in _AFTER_GENERATE
    if exactly or _plain(value) in _AFTER_GENERATE:
        return value in each.choices
    return any(type(choice) is type(value) for choice in each.choices)


def _fits_number(each: Input, value: object, *, exactly: bool) -> bool:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not exactly:
        return number is not None
    return (each.minimum is None or number >= each.minimum) and (each.maximum is None or number <= each.maximum)


def _pick(given: Mapping[str, Any], node_class: NodeClass) -> Values:
    inputs = node_class.inputs_for(given)
    others = (value for name, value in given.items() if name not in inputs)
    left_out = tuple(value for value in others if not _is_editors_own(value))
    return Values({name: value for name, value in given.items() if name in inputs}, left_out)


def _as_named(node: Node, node_class: NodeClass) -> Values | None:
    """The layout that the file tells, if it does and it is one of this class."""
    names = node.widgets_values_named or {}
    if len(names) != len(node.positional):
        return None
    values = _pick(dict(zip(names, node.positional, strict=True)), node_class)
    inputs = node_class.inputs_for(values.by_input)
    lacking = [name for name, each in inputs.items() if each.has_widget and each.required and name not in names]
    return None if lacking or not all(fits(inputs[n], v) for n, v in values.by_input.items()) else values


def _as_declared(node: Node, node_class: NodeClass) -> tuple[Values, bool]:
    """The layout of the class, and whether there is a value for every widget and none left."""
    left = deque(node.positional)
    values: dict[str, Any] = {}
    widgets = list(_walk(node_class, values, {slot.name for slot in node.inputs if slot.link is not None}, left))
    left_out = tuple(value for value in left if not _is_editors_own(value))
    return Values(values, left_out if widgets else ()), len(values) == len(widgets) and not left_out


def _walk(node_class: NodeClass, values: dict[str, Any], linked: set[str], left: deque[Any]) -> Iterator[str]:
    """Give the widgets, from top to bottom, their values, and name them."""
    uploads = any(each.options.get(upload) for each in node_class.inputs.values() for upload in _UPLOADS)
    todo = deque(node_class.inputs.values())
    seen = set()
    while todo:
        each = todo.popleft()
        if each.name in seen:
            continue
        seen.add(each.name)
        if each.has_widget:
            yield each.name
            if left:
                _take(each, values, left, next((other for other in todo if other.has_widget), None))
        # What is below it depends on its value, or on whether it is linked.
        todo.extendleft(reversed([i for i in each.expand(dict.fromkeys(linked) | values) if i is not each]))
        if uploads and not (todo and todo[0].required):
            uploads = False
            _drop_buttons(left)


def _take(each: Input, values: dict[str, Any], left: deque[Any], following: Input | None) -> None:
    values[each.name] = left.popleft()
    if not (each.control_after_generate and left):
        return
    # Files of 2023 say whether to randomize the seed by true and false.
    of_2023 = isinstance(left[0], bool) and not (following and following.type == "BOOLEAN")
    if of_2023 or _plain(left[0]) in _AFTER_GENERATE:
        left.popleft()
        if each.type == COMBO and left and left[0] == "":
            left.popleft()  # a filter of the choices


def _drop_buttons(left: deque[Any]) -> None:
    """Behind the last required widget of a class with an upload are its button and, of audio, a player."""
    for _ in range(2):
        if left and _plain(left[0]) in _OF_UPLOADS:
            left.popleft()


def _is_editors_own(value: object) -> bool:
    """Whether a value behind all others is none of an input: a button, a player, what happens to a seed."""
    return _plain(value) in _AFTER_GENERATE | _OF_UPLOADS or isinstance(value, Mapping)


def _plain(value: object) -> object:
    """The value, or for what cannot be in a set a text that is in none."""
    return value if isinstance(value, str | int | float | None) else "[]"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
