"""One use of a canvas: the workflow itself, or a subgraph where a node uses it, and what its widgets show."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from comfyard.workflow.conversion.editor import INPUTS, OUTPUTS, Canvas, Link, Node, Slot, Subgraph

Widgets = Callable[[Node], Mapping[str, Any]]
"""What the widgets of a node show, by input; nothing for a node that the server does not run."""


class WiringError(ValueError):
    """A link leads nowhere; the text says why and what to do."""


@dataclass(frozen=True)
class Literal:
    """A value that a widget elsewhere shows: of a PrimitiveNode, or of the node that uses a subgraph."""

    value: Any


@dataclass(frozen=True, eq=False)
class Scope:
    """One use of a canvas.

    Attributes:
        canvas: Its nodes and links.
        subgraphs: All that the workflow defines, by id.
        widgets: What the widgets of its nodes show.
        path: The ids of the nodes that lead here, from the outermost on; empty for the workflow.
        user: The node that uses the subgraph, and where it lies; None for the workflow.
        around: The ids of the subgraphs that this one is in, its own included.
    """

    canvas: Canvas
    subgraphs: Mapping[str, Subgraph]
    widgets: Widgets
    path: tuple[str, ...] = ()
    user: "tuple[Scope, Node] | None" = None
    around: frozenset[str] = field(default_factory=frozenset)

    def id_of(self, node: Node) -> str:
        """The node's id in API format, as ComfyUI's frontend makes it (`57:8`)."""
        return ":".join((*self.path, node.id))

    def is_subgraph(self, node: Node) -> bool:
        """Whether the node uses a subgraph."""
        return node.type in self.subgraphs

    def enter(self, node: Node) -> "Scope":
        """The subgraph that the node uses.

        Raises:
            WiringError: It is one that this scope lies in.
        """
        definition = self.subgraphs[node.type]
        if definition.id in self.around:
            raise WiringError("uses the subgraph that it lies in; take it out in the editor")
        path = (*self.path, node.id)
        return Scope(definition, self.subgraphs, self.widgets, path, (self, node), self.around | {definition.id})

    def outwards(self) -> Iterator["Scope"]:
        """This scope, the one that its user lies in, and so on."""
        scope: Scope | None = self
        while scope:
            yield scope
            scope = scope.user[0] if scope.user else None

    @property
    def inputs(self) -> list[Slot]:
        """The inputs of the subgraph."""
        return self.canvas.inputs if isinstance(self.canvas, Subgraph) else []

    def leaving(self, index: int) -> Link | None:
        """The link, inside, to an output of the subgraph; of several, the first that the output names."""
        links = [link for link in self.canvas.links if (link.target_id, link.target_slot) == (OUTPUTS, index)]
        outputs = self.canvas.outputs if isinstance(self.canvas, Subgraph) else []
        order = outputs[index].link_ids if 0 <= index < len(outputs) else []
        return min(links, key=lambda link: _place(order, link), default=None)

    def override(self, node: Node, name: str) -> Literal | None:
        """What a widget of the user of this subgraph shows for an input of a node in it."""
        key = node.id, name
        return Literal(self._shown[key]) if key in self._shown else None

    def promoted(self, index: int) -> Literal | None:
        """What a widget shows for an input of this subgraph: one of its user, else the first inside."""
        name = self.inputs[index].name
        if (INPUTS, name) in self._shown:
            return Literal(self._shown[INPUTS, name])
        for node, slot in self.widgets_at(index):
            inner = self.override(node, slot.name)
            if inner is None and self.is_subgraph(node):
                inner = self.enter(node).promoted_by_name(slot.name)
            elif inner is None and slot.name in self.widgets(node):
                inner = Literal(self.widgets(node)[slot.name])
            if inner is not None:
                return inner
        return None

    def promoted_by_name(self, name: str) -> Literal | None:
        """The same, by the name of the input."""
        return next((self.promoted(i) for i, slot in enumerate(self.inputs) if slot.name == name), None)

    @cached_property
    def _shown(self) -> Mapping[tuple[str, str], Any]:
        """What widgets of the user show for inputs of nodes inside, and of the subgraph: (node, input).

        `widgets_values` of the user are those of the subgraph's inputs that lead to a widget, in their order. Files
        from before 2026 name the widgets in `proxyWidgets` instead, and mostly leave the values to the nodes inside.
        """
        if self.user is None:
            return {}
        node = self.user[1]
        proxies = node.properties.proxy_widgets
        if proxies:
            # "-1" is an input of the subgraph itself.
            keys = [(INPUTS if where == "-1" else where, name) for where, name in proxies]
            return dict(zip(keys, node.positional, strict=True)) if len(keys) == len(node.positional) else {}
        names = [slot.name for index, slot in enumerate(self.inputs) if any(self.widgets_at(index))]
        return {(INPUTS, name): value for name, value in zip(names, node.positional, strict=False)}

    def widgets_at(self, index: int) -> Iterator[tuple[Node, Slot]]:
        """The inputs inside that an input of this subgraph leads to, and that have a widget, here or further inside."""
        links = [link for link in self.canvas.links if (link.origin_id, link.origin_slot) == (INPUTS, index)]
        for link in sorted(links, key=lambda link: _place(self.inputs[index].link_ids, link)):
            node = self.canvas.nodes_by_id.get(link.target_id)
            if node is None or not 0 <= link.target_slot < len(node.inputs):
                continue
            slot = node.inputs[link.target_slot]
            inner = self.enter(node) if self.is_subgraph(node) else None
            same = [i for i, each in enumerate(inner.inputs) if each.name == slot.name] if inner else []
            if slot.widget or (inner and any(any(inner.widgets_at(i)) for i in same)):
                yield node, slot


def _place(order: list[str], link: Link) -> int:
    return order.index(link.id) if link.id in order else len(order)
