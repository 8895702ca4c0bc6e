"""The format of ComfyUI's editor, in the versions 0.4 and 1.0, as far as a conversion needs it.

The versions differ in how they write a link: as a list at the top of 0.4, as an object in 1.0 and in all subgraphs.
"""

from enum import IntEnum
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

INPUTS = "-10"
"""The id that links inside a subgraph have for the subgraph's own inputs."""
OUTPUTS = "-20"
"""Likewise for its outputs."""

_LINK_FIELDS = ("id", "origin_id", "origin_slot", "target_id", "target_slot")


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) else value


def _type(value: object) -> str:
    """Old files write the choices of an enumeration as its type, and 0 for any type."""
    return "COMBO" if isinstance(value, list) else value if isinstance(value, str) else "*"


def _link(value: object) -> object:
    return dict(zip(_LINK_FIELDS, value, strict=False)) if isinstance(value, list) else value


def _list(value: object) -> object:
    return [] if value is None else value


def _links(value: object) -> object:
    """Files keep `null` where a link was taken away."""
    return [link for link in value if link is not None] if isinstance(value, list) else _list(value)


def _two(value: object) -> object:
    """The first two of a list; what follows differs between versions."""
    return value[:2] if isinstance(value, list) else value


Id = Annotated[str, BeforeValidator(_text)]
Type = Annotated[str, BeforeValidator(_type)]

Proxy = Annotated[tuple[Id, str], BeforeValidator(_two)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Mode(IntEnum):
    """What the editor does with a node when the workflow runs; other values run it."""

    MUTED = 2
    BYPASSED = 4


class Link(_Part):
    """From an output slot to an input slot."""

    id: Id
    origin_id: Id
    origin_slot: int
    target_id: Id
    target_slot: int


class Slot(_Part):
    """An input or an output of a node or of a subgraph.

    Attributes:
        link: The link to an input of a node.
        link_ids: The links of a subgraph's input or output, on its inside.
        widget: Set for an input of a node that can also be given by a widget.
    """

    name: str = ""
    type: Type = "*"
    link: Id | None = None
    link_ids: Annotated[list[Id], BeforeValidator(_list)] = Field(default_factory=list, alias="linkIds")
    widget: dict[str, Any] | None = None


Slots = Annotated[list[Slot], BeforeValidator(_list)]


class Properties(_Part):
    """What the editor keeps of a node beside its slots and widgets.

    Attributes:
        proxy_widgets: Of a subgraph in use: the widgets inside that it shows, as node and input.
    """

    proxy_widgets: Annotated[list[Proxy], BeforeValidator(_list)] = Field(default_factory=list, alias="proxyWidgets")


class Node(_Part):
    """A node on the canvas: one that the server runs, one of the editor's own (Reroute, Note), or a subgraph in use.

    Attributes:
        type: The class, or the id of a subgraph.
        mode: See Mode.
        widgets_values: What its widgets show, from top to bottom; some custom nodes write them by name.
        widgets_values_named: The same by name, in files of 2026; people who edit files forget it, and the editor does
            not read it, so that only the names and their order count.
    """

    id: Id
    type: str
    title: str | None = None
    mode: int = 0
    inputs: Slots = Field(default_factory=list)
    outputs: Slots = Field(default_factory=list)
    widgets_values: list[Any] | dict[str, Any] | None = None
    widgets_values_named: dict[str, Any] | None = None
    properties: Properties = Field(default_factory=Properties)

    @property
    def positional(self) -> list[Any]:
        """Its `widgets_values` as far as they are a list."""
        return self.widgets_values if isinstance(self.widgets_values, list) else []

    def input(self, name: str) -> Slot | None:
        """The input of that name."""
        return next((slot for slot in self.inputs if slot.name == name), None)


class Canvas(_Part):
    """Nodes and the links between them."""

    nodes: list[Node]
    links: Annotated[list[Annotated[Link, BeforeValidator(_link)]], BeforeValidator(_links)] = Field(
        default_factory=list
    )

    @cached_property
    def nodes_by_id(self) -> dict[str, Node]:
        """The nodes."""
        return {node.id: node for node in self.nodes}

    @cached_property
    def links_by_id(self) -> dict[str, Link]:
        """The links."""
        return {link.id: link for link in self.links}


class Subgraph(Canvas):
    """The definition of a subgraph, whose id is the type of the nodes that use it."""

    id: str
    inputs: Slots = Field(default_factory=list)
    outputs: Slots = Field(default_factory=list)


class Definitions(_Part):
    """What a workflow defines for its own use."""

    subgraphs: Annotated[list[Subgraph], BeforeValidator(_list)] = Field(default_factory=list)


class Workflow(Canvas):
    """A file of the editor."""

    definitions: Definitions = Field(default_factory=Definitions)

    @cached_property
    def subgraphs(self) -> dict[str, Subgraph]:
        """All subgraphs, by id."""
        return {subgraph.id: subgraph for subgraph in self.definitions.subgraphs}
