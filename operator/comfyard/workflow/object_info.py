"""What is known of node classes: their inputs, in the order of the editor's widgets, and their outputs.

Two sources, one form: what a server's `/object_info` tells of the classes it has, and `node_facts.json`, which tells
of ComfyUI's own (the same, without what only people read: tooltips, names for display). Both list an input's options
under ComfyUI's own names, and both keep the order in which a class declares its inputs: the editor's `widgets_values`
are in that order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from comfyard.workflow.graph import node_facts
from comfyard.workflow.node_class import COMBO, Input, NodeClass, Output, read_inputs

_GROUPS = {"required": "req", "optional": "opt"}
_UPLOADS = ("image_upload", "audio_upload", "video_upload", "file_upload")


@dataclass(frozen=True)
class Knowledge:
    """Node classes, by name.

    Attributes:
        classes: Those that are known.
        complete: Whether there are no others: true of what a server tells of itself.
    """

    classes: Mapping[str, NodeClass]
    complete: bool

    def find(self, name: str) -> NodeClass | None:
        """The class of that name."""
        return self.classes.get(name)


@cache
def core() -> Knowledge:
    """ComfyUI's own classes, as version 0.3.64 has them, the paid services included. Newer ones are not among them."""
    facts = node_facts()
    classes = {name: _from_facts(name, entry, facts) for name, entry in facts["nodes"].items()}
    return Knowledge(classes, complete=False)


def from_object_info(info: object) -> Knowledge:
    """What a server tells of its classes. One that cannot be read is left out, and the others are not all there are.

    Args:
        info: The answer to GET /object_info.

    Raises:
        ValueError: It is something else.
    """
    classes: dict[str, NodeClass] = {}
    problem: Exception | None = None if isinstance(info, Mapping) else TypeError("no object")
    for name, entry in info.items() if isinstance(info, Mapping) else ():
        try:
            classes[name] = _from_entry(name, entry)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            problem = error
    if problem and not classes:
        raise ValueError(f"this is not an answer of ComfyUI to GET /object_info: {problem!r}") from problem
    return Knowledge(classes, complete=problem is None)


def _from_facts(name: str, entry: Mapping[str, Any], facts: Mapping[str, Any]) -> NodeClass:
    """A class from node_facts.json, whose `_meta.format` tells how it abbreviates /object_info."""

    def unfold(spec: list[Any]) -> list[Any]:
        options = dict(spec[1]) if len(spec) > 1 else {}
        if spec[0] == "ENUM":
            choices = options["options"]
            return [COMBO, options | {"options": facts["_enums"][choices] if isinstance(choices, str) else choices}]
        return [COMBO if spec[0].startswith("FILE:") else spec[0], options]

    groups = {long: {n: unfold(s) for n, s in entry.get(short, {}).items()} for long, short in _GROUPS.items()}
    return NodeClass(
        name=name,
        inputs={each.name: _with_folder(name, each) for each in read_inputs(groups, "")},
        hidden=frozenset(entry.get("hid", {})),
        outputs=tuple(Output(out[1], out[0], bool(out[2:] and out[2])) for out in entry["out"]),
        output_node=bool(entry.get("output_node")),
        api_node=bool(entry.get("api_node")),
    )


def _from_entry(name: str, entry: Mapping[str, Any]) -> NodeClass:
    groups = entry["input"]
    order = entry.get("input_order", {})
    ordered = {key: {n: groups[key][n] for n in order.get(key, groups[key])} for key in _GROUPS if key in groups}
    types = [COMBO if isinstance(each, list) else str(each) for each in entry["output"]]
    names = entry.get("output_name") or types
    lists = entry.get("output_is_list") or [False] * len(types)
    return NodeClass(
        name=name,
        inputs={each.name: _with_folder(name, each) for each in read_inputs(ordered, "")},
        hidden=frozenset(groups.get("hidden", {})),
        outputs=tuple(Output(str(n), t, bool(many)) for n, t, many in zip(names, types, lists, strict=False)),
        output_node=bool(entry.get("output_node")),
        api_node=bool(entry.get("api_node")),
    )


def _with_folder(class_name: str, each: Input) -> Input:
    """The input, with its folder where that is known."""
    folders = node_facts()["_file_inputs"].get(f"{class_name}.{each.name}")
    if folders is None and not any(each.options.get(upload) for upload in _UPLOADS):
        return each
    folder = folders[0] if folders else str(each.options.get("image_folder", "input"))
    known = node_facts()["nodes"].get(class_name, {})
    spec = known.get("req", {}).get(each.name) or known.get("opt", {}).get(each.name) or [None]
    fixed = tuple(spec[1].get("fixed", ())) if len(spec) > 1 else ()
    return replace(each, folder=folder, fixed=fixed, choices=None)
