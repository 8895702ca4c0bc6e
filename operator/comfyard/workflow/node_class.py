"""What a class of nodes takes and gives: one form for ComfyUI's own classes and for those that a server tells of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

COMBO = "COMBO"
ANY = "*"
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
DYNAMIC_SLOT = "COMFY_DYNAMICSLOT_V3"
DYNAMIC_GROUP = "COMFY_DYNAMICGROUP_V3"
MATCH_TYPE = "COMFY_MATCHTYPE_V3"

_LITERAL_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", COMBO, DYNAMIC_COMBO})
EDITOR_TYPES = frozenset({"LOAD_3D", "LOAD_3D_ANIMATION", "WEBCAM", "AUDIO_RECORD"})
"""Types whose values the editor makes when somebody presses Run: a view of a 3D scene, a recording."""
DISPLAY_TYPES = frozenset({"IMAGECOMPARE", "RESOLUTION_PREVIEW"})
"""Types of widgets that only show something, so that files do not have values for them."""

_SEEDS = frozenset({"seed", "noise_seed"})
"""Integers that get the editor's second widget without asking for it."""

_FILE_SUFFIXES = (
    *(".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl", ".gguf", ".onnx", ".yaml"),
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".webm", ".mov", ".wav", ".mp3", ".flac", ".glb", ".obj"),
)


@dataclass(frozen=True)
class Input:
    """One input of a node class.

    Attributes:
        name: Its name in the API format; inputs that depend on another's value are `parent.child`.
        type: ComfyUI's type; `COMBO` for every enumeration, however the class declares it. Several are divided by
            commas; `*` is any.
        required: Whether the node cannot do without.
        choices: What a `COMBO` may be. None: nobody can tell without the server's disk (names of files, a list that
            is fetched from somewhere).
        folder: The model folder whose files it names (`checkpoints`), or `input`, `input_subfolders`, `3d`; None for
            all others, and for classes that are not ComfyUI's own, as `/object_info` does not tell.
        fixed: What an input with a folder may be besides names of files (`pixel_space` of VAELoader).
        default: None: there is none. An enumeration without one starts with its first choice.
        minimum: None: unbounded. Integers are exact up to 2^64 - 1.
        maximum: Likewise.
        force_input: The editor shows no widget for it, though its type has one.
        control_after_generate: The editor shows, behind it, a second widget (fixed, increment, decrement, randomize),
            whose value is in `widgets_values` too but means nothing to the server.
        options: All that is told of it, as it is told.
    """

    name: str
    type: str
    required: bool = True
    choices: tuple[Any, ...] | None = None
    folder: str | None = None
    fixed: tuple[str, ...] = ()
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    force_input: bool = False
    control_after_generate: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_widget(self) -> bool:
        """Whether the editor shows a widget for it, whose value is one of `widgets_values`."""
        return (
            not self.force_input
            and self.type not in DISPLAY_TYPES
            and (
                self.type in _LITERAL_TYPES | EDITOR_TYPES
                or bool(self.options.get("socketless"))
                or self.options.get("widgetType") in _LITERAL_TYPES
            )
        )

    @property
    def takes_literal(self) -> bool:
        """Whether a value can stand there; others need a link. ComfyUI itself does not know `force_input`."""
        of_any_class = {ANY, MATCH_TYPE, *_LITERAL_TYPES, *DISPLAY_TYPES}
        return self.has_widget or not of_any_class.isdisjoint(self.type.split(","))

    def accepts(self, output_type: str) -> bool:
        """Whether an output of this type can be linked to it: one type in common, as ComfyUI's validation has it."""
        mine = self.type
        if mine == MATCH_TYPE:
            mine = str(self.options.get("template", {}).get("allowed_types", ANY))
        elif mine == DYNAMIC_SLOT:
            mine = str(self.options.get("slotType", ANY))
        given = output_type.split(",")
        return ANY in {mine, output_type} or MATCH_TYPE in given or not set(mine.split(",")).isdisjoint(given)

    @property
    def is_dynamic(self) -> bool:
        """Whether the inputs that it stands for depend on the values of its node."""
        return self.type in {AUTOGROW, DYNAMIC_COMBO, DYNAMIC_GROUP, DYNAMIC_SLOT}

    def expand(self, values: Mapping[str, Any]) -> Iterator["Input"]:
        """The inputs that this one stands for when a node's inputs are these; itself, unless its type is dynamic.

        Names and what is required follow `comfy_api/latest/_io.py` of ComfyUI (`_expand_schema_for_dynamic`).
        """
        if self.type == AUTOGROW:
            yield from self._grown()
            return
        if self.type == DYNAMIC_GROUP:
            given = (name.removeprefix(f"{self.name}.") for name in values if name.startswith(f"{self.name}."))
            for row in sorted({int(index) for name in given if (index := name.partition(".")[0]).isdecimal()}):
                yield from read_inputs(self.options.get("template", {}), f"{self.name}.{row}.")
            return
        yield self
        if self.type == DYNAMIC_COMBO:
            for option in self.options.get("options", ()):
                if option["key"] == values.get(self.name):
                    yield from self._children(option.get("inputs", {}), values)
        elif self.type == DYNAMIC_SLOT and self.name in values:
            yield from self._children(self.options.get("inputs", {}), values)

    def _children(self, groups: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator["Input"]:
        for child in read_inputs(groups, f"{self.name}."):
            yield from child.expand(values)

    def _grown(self) -> Iterator["Input"]:
        template = self.options.get("template", {})
        names = template.get("names") or [f"{template.get('prefix', '')}{i}" for i in range(template.get("max", 0))]
        least = template.get("min", 0)
        for group, entries in template.get("input", {}).items():
            for entry in list(entries.values())[:1]:
                for i, name in enumerate(names):
                    required = group == "required" and i < least
                    options = {**(entry[1] if len(entry) > 1 else {}), "forceInput": True}
                    yield _read_input(f"{self.name}.{name}", [entry[0], options], required=required)
                return


@dataclass(frozen=True)
class Output:
    """One output slot: its name, its type (`*`: any), and whether it is a list that what follows runs once for each."""

    name: str
    type: str
    is_list: bool = False


@dataclass(frozen=True)
class NodeClass:
    """One class of nodes.

    Attributes:
        name: As in `class_type`.
        inputs: By name, the required ones first, each group in the order of its declaration.
        hidden: Names of what the server fills in itself.
        outputs: In the order of the slots.
        output_node: Whether running it is a purpose of its own (SaveImage).
        api_node: It calls a paid service outside the cluster.
    """

    name: str
    inputs: Mapping[str, Input]
    hidden: frozenset[str] = frozenset()
    outputs: tuple[Output, ...] = ()
    output_node: bool = False
    api_node: bool = False

    def inputs_for(self, values: Mapping[str, Any]) -> dict[str, Input]:
        """The inputs that a node with these values in its `inputs` has, the dynamic ones written out."""
        return {each.name: each for declared in self.inputs.values() for each in declared.expand(values)}


def read_inputs(groups: Mapping[str, Any], prefix: str) -> Iterator[Input]:
    """The inputs of a declaration as /object_info has it: {required: {name: [type, options]}, optional: ...}."""
    for group in ("required", "optional"):
        for name, spec in groups.get(group, {}).items():
            yield _read_input(prefix + name, spec, required=group == "required")


def _read_input(name: str, spec: list[Any], *, required: bool) -> Input:
    """One input, as /object_info writes it: [type, options], where a list as type is that of its choices."""
    options = spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}
    listed = spec[0] if isinstance(spec[0], list) else options.get("options")
    kind = COMBO if isinstance(spec[0], list) else str(spec[0])
    choices: tuple[Any, ...] | None = None
    if kind == DYNAMIC_COMBO:
        choices = tuple(option["key"] for option in listed or ())
    elif kind == COMBO and listed and not any(str(each).lower().endswith(_FILE_SUFFIXES) for each in listed):
        choices = tuple(listed)  # a list with names of files is what that server had then, not what a claim will hold
    return Input(
        name=name,
        type=kind,
        required=required,
        choices=choices,
        default=options.get("default"),
        minimum=options.get("min"),
        maximum=options.get("max"),
        force_input=bool(options.get("forceInput")),
        control_after_generate=bool(options.get("control_after_generate", kind == "INT" and name in _SEEDS)),
        options=options,
    )
