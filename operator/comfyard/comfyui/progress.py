"""How far a prompt is, told from its events. Decoration for a person: no decision is made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_STEPS_INPUT = "steps"


@dataclass(frozen=True)
class Progress:
    """How far one prompt is.

    Attributes:
        fraction: 0 to 1 of the whole graph, where a sampler's step counts as much as a whole node without steps.
        node: Id of the node that runs; empty before the first.
        step: Steps of that node that are done.
        steps: Steps of that node, 1 for one without.
    """

    fraction: float = 0.0
    node: str = ""
    step: int = 0
    steps: int = 0


class PromptProgress:
    """Folds the events of one prompt into its progress."""

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._weights = {node_id: _weight(node) for node_id, node in graph.items()}
        self._done: set[str] = set()
        self._running = Progress()

    def see(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take in one event of this prompt; unknown ones are ignored."""
        match kind:
            case "execution_cached":
                self._done.update(str(node) for node in data.get("nodes") or [])
            case "progress_state":
                nodes = data.get("nodes")
                for state in nodes.values() if isinstance(nodes, Mapping) else ():
                    self._see_node(state)
            case _:
                pass

    def _see_node(self, state: Any) -> None:  # noqa: ANN401 - JSON from outside
        """One entry of progress_state. Nodes that a node expanded to ("3.0.0.1") count for the one they came from."""
        if not isinstance(state, Mapping):
            return
        node = str(state.get("node_id"))
        known = node if node in self._weights else str(state.get("display_node_id"))
        if state.get("state") == "finished":
            self._done.update({node} & set(self._weights))
        elif state.get("state") == "running":
            value, most = _number(state.get("value")), _number(state.get("max"))
            self._running = Progress(node=known, step=min(value, most), steps=most)

    def now(self) -> Progress:
        """The progress so far."""
        running = self._running
        total = sum(self._weights.values())
        weight: float = sum(self._weights[node] for node in self._done if node in self._weights)
        if running.node in self._weights and running.node not in self._done and running.steps:
            weight += self._weights[running.node] * running.step / running.steps
        return Progress(weight / total if total else 0.0, running.node, running.step, running.steps)


def _weight(node: Any) -> int:  # noqa: ANN401 - a node of somebody's graph
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    steps = inputs.get(_STEPS_INPUT) if isinstance(inputs, Mapping) else None
    return max(1, _number(steps))


def _number(value: object) -> int:
    """A count, from whatever a node reports: progress bars of custom nodes have fractions, and worse."""
    return int(value) if isinstance(value, int | float) and 0 <= value < float("inf") else 0
