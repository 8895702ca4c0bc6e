"""How a node's behaviour is declared, and what it may use while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from comfysim.runtime import Runtime


@dataclass
class NodeContext:
    """What a running node may use.

    Attributes:
        runtime: The process' settings, folders, models and flags.
        node_id: The node.
        prompt: The graph as it was queued, for the text chunks of pictures.
        extra_data: What came with it.
        on_progress: Tells the client of a sampler's step, with a preview if there is one.
        steps: Sampler steps done in this execution so far, for the record.
    """

    runtime: Runtime
    node_id: str
    prompt: dict[str, Any]
    extra_data: dict[str, Any]
    on_progress: Callable[[str, int, int, Image.Image | None], None]
    steps: int = 0


@dataclass(frozen=True)
class NodeOutput:
    """What a node returns.

    Attributes:
        result: One value per output slot.
        ui: What it shows to the client, or None.
    """

    result: tuple[Any, ...] = ()
    ui: dict[str, Any] | None = None


NodeFunction = Callable[..., NodeOutput]


@dataclass
class NodeRegistry:
    """Behaviour by class name.

    Attributes:
        functions: What runs a class; called with the context and then the inputs by name.
        is_changed: Extra cache keys of classes that look at the world.
    """

    functions: dict[str, NodeFunction] = field(default_factory=dict)
    is_changed: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def node(self, *names: str) -> Callable[[NodeFunction], NodeFunction]:
        """Declares the behaviour of classes.

        Args:
            names: Class names.

        Returns:
            The decorator.
        """

        def register(function: NodeFunction) -> NodeFunction:
            self.functions.update(dict.fromkeys(names, function))
            return function

        return register


NODES = NodeRegistry()
