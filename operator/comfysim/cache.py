"""The node cache: results of earlier runs, found by what went into them.

The key of a node is its class, its literals and, through its links, the same of all its ancestors. So an identical
graph runs nothing and names the *old* files again, and a changed file prefix alone re-runs only the saving node.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

IsChanged = Callable[[str, dict[str, Any]], Any]


def is_link(value: object) -> bool:
    """Tells a link from a literal.

    Args:
        value: An input's value.

    Returns:
        True for [node id, slot].
    """
    match value:
        case [str(), int() | float()]:
            return True
        case _:
            return False


@dataclass(frozen=True)
class NodeResult:
    """What one execution of a node left behind.

    Attributes:
        outputs: One value per slot.
        ui: What it shows (file names), or None.
        meta: Which node that is, as the history tells it.
    """

    outputs: tuple[Any, ...]
    ui: dict[str, Any] | None
    meta: dict[str, Any]


class ResultCache:
    """Results by signature.

    Args:
        mode: "classic" keeps only what the newest prompt has, "lru" keeps `size` results more, "none" keeps nothing
            from one prompt to the next.
        size: For "lru".
    """

    def __init__(self, mode: str = "classic", size: int = 0) -> None:
        self.mode = mode
        self.size = size
        self.results: dict[str, NodeResult] = {}
        self.keys: dict[str, str] = {}

    def set_prompt(self, prompt: dict[str, Any], is_changed: IsChanged) -> None:
        """Computes the keys of a graph and forgets what it does not have.

        Every node is looked at, also those no output needs: a node without "inputs" raises here, outside of any
        node's own error handling, which in ComfyUI 0.3.64 ends the worker thread.

        Args:
            prompt: The graph.
            is_changed: Gives the extra key of a class that looks at the world, such as a file's hash.
        """
        if self.mode == "none":
            self.keys = {node_id: node_id for node_id in prompt}
            self.results.clear()
            for node in prompt.values():
                node["inputs"].items()
            return
        self.keys = _signatures(prompt, is_changed)
        wanted = set(self.keys.values())
        if self.mode == "classic":
            self.results = {key: result for key, result in self.results.items() if key in wanted}
            return
        for key in [key for key in self.results if key in wanted]:
            self.results[key] = self.results.pop(key)
        while len(self.results) > max(self.size, len(wanted)):
            del self.results[next(iter(self.results))]

    def get(self, node_id: str) -> NodeResult | None:
        """Finds a result.

        Args:
            node_id: A node of the prompt that was set.

        Returns:
            The result, or None.
        """
        return self.results.get(self.keys.get(node_id, ""))

    def put(self, node_id: str, result: NodeResult) -> None:
        """Remembers a result.

        Args:
            node_id: A node of the prompt that was set.
            result: Its result.
        """
        self.results[self.keys[node_id]] = result

    def shown(self) -> Iterator[tuple[str, NodeResult]]:
        """Gives what the prompt's nodes show, run now or earlier.

        Yields:
            Node id and result, for results with a ui.
        """
        for node_id in self.keys:
            result = self.get(node_id)
            if result is not None and result.ui is not None:
                yield node_id, result

    def clear(self) -> None:
        """Forgets everything, for /free with free_memory."""
        self.results.clear()


def _signatures(prompt: dict[str, Any], is_changed: IsChanged) -> dict[str, str]:
    keys: dict[str, str] = {}
    visiting: set[str] = set()

    def signature(node_id: str) -> str:
        if node_id in keys:
            return keys[node_id]
        if node_id not in prompt or node_id in visiting:
            return uuid.uuid4().hex
        visiting.add(node_id)
        node = prompt[node_id]
        parts: list[Any] = [node["class_type"], is_changed(node_id, node)]
        for name, value in sorted(node["inputs"].items()):
            parts.append([name, "link", signature(value[0]), value[1]] if is_link(value) else [name, value])
        visiting.discard(node_id)
        keys[node_id] = hashlib.sha256(json.dumps(parts, default=repr).encode()).hexdigest()
        return keys[node_id]

    for node_id in prompt:
        signature(node_id)
    return {node_id: keys[node_id] for node_id in prompt}
