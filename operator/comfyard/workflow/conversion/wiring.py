"""Where the value of an input comes from, through all that the server never sees.

Subgraphs, bypassed nodes, Reroute and the like are the editor's own: a link is followed through them to a node that
the server runs, or to the value of a widget. The rules are those of the frontend's `ExecutableNodeDTO`.
"""

from comfyard.workflow.conversion.editor import INPUTS, Mode, Node, Slot
from comfyard.workflow.conversion.scope import Literal, Scope, WiringError
from comfyard.workflow.graph import Link
from comfyard.workflow.node_class import ANY

NOTES = frozenset({"Note", "MarkdownNote"})
PASSING = frozenset({"Reroute", "SetNode"})
VIRTUAL = NOTES | PASSING | {"PrimitiveNode", "GetNode"}
"""Nodes of the editor, or of its most used extension (SetNode, GetNode), that no server knows."""

_MAX_STEPS = 100
"""So many links one after the other are a circle. Each takes up to four calls of the thousand that Python nests."""

Source = Link | Literal


def incoming(scope: Scope, slot: Slot, wanted: str | None = None, steps: int = 0) -> Source | None:
    """What an input of a node gets.

    Args:
        scope: Where the node lies.
        slot: The input.
        wanted: The type that is wanted, which decides what a bypassed node lets through; None: that of the input.
        steps: How many links have been followed already.

    Returns:
        None if nothing comes: no link, or one from something muted.

    Raises:
        WiringError: The link is broken.
    """
    if slot.link is None:
        return None
    link = scope.canvas.links_by_id.get(slot.link)
    if link is None:
        raise WiringError(f"is linked by link {slot.link}, which is not in the file; link it again in the editor")
    return _follow(scope, link.origin_id, link.origin_slot, wanted or slot.type, steps)


def _follow(scope: Scope, origin: str, index: int, wanted: str, steps: int) -> Source | None:
    if steps > _MAX_STEPS:
        raise WiringError("is linked to nodes that only pass on to each other; take one of the links away")
    if origin == INPUTS:
        return _from_outside(scope, index, steps + 1)
    node = scope.canvas.nodes_by_id.get(origin)
    if node is None:
        raise WiringError(f"is linked to node {origin}, which is not in the file; link it again in the editor")
    return _outgoing(scope, node, index, wanted, steps + 1)


def _from_outside(scope: Scope, index: int, steps: int) -> Source | None:
    if scope.user is None or not 0 <= index < len(scope.inputs):
        raise WiringError(f"is linked to input {index} of a subgraph that lacks it; link it again in the editor")
    outer, user = scope.user
    name = scope.inputs[index].name
    slot = user.input(name)
    found = incoming(outer, slot, steps=steps) if slot else None
    return found or outer.override(user, name) or scope.promoted(index)


def _outgoing(scope: Scope, node: Node, index: int, wanted: str, steps: int) -> Source | None:
    """What an output of a node gives."""
    if node.mode == Mode.MUTED or node.type in NOTES:
        return None
    if node.mode == Mode.BYPASSED:
        slot = _let_through(node, index, wanted)
        return incoming(scope, slot, steps=steps) if slot else None
    if scope.is_subgraph(node):
        inner = scope.enter(node)
        link = inner.leaving(index)
        return _follow(inner, link.origin_id, link.origin_slot, wanted, steps) if link else None
    return _virtual(scope, node, wanted, steps) if node.type in VIRTUAL else (scope.id_of(node), index)


def _virtual(scope: Scope, node: Node, wanted: str, steps: int) -> Source | None:
    if node.type == "PrimitiveNode":
        return Literal(node.positional[0]) if node.positional else None
    if node.type in PASSING:
        return incoming(scope, node.inputs[0], wanted, steps) if node.inputs else None
    # A GetNode has what the SetNode of the same name has, on the same canvas or one that this one is used on.
    name = node.positional[0] if node.positional else None
    for place in scope.outwards():
        for other in place.canvas.nodes:
            if other.type == "SetNode" and other.positional[:1] == [name]:
                return _outgoing(place, other, 0, wanted, steps)
    raise WiringError(f"is linked to GetNode {node.id}, but no SetNode has its name, {name!r}; add one in the editor")


def _let_through(node: Node, index: int, wanted: str) -> Slot | None:
    """The input of a bypassed node whose value comes out of the output.

    The frontend prefers the input at the same place, if its type fits; else the first of exactly the type; else the
    first that fits.
    """
    given = node.outputs[index].type if 0 <= index < len(node.outputs) else ANY
    same_place = node.inputs[index] if 0 <= index < len(node.inputs) else None
    if wanted == ANY:
        return same_place or next(iter(node.inputs), None)
    if same_place and _agree(same_place.type, given) and _agree(same_place.type, wanted):
        return same_place
    exact = (slot for slot in node.inputs if slot.type == wanted)
    fitting = (slot for slot in node.inputs if _agree(slot.type, given) and _agree(slot.type, wanted))
    return next(exact, None) or next(fitting, None)


def _agree(one: str, other: str) -> bool:
    return ANY in {one, other} or not set(one.lower().split(",")).isdisjoint(other.lower().split(","))
