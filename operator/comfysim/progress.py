"""What the nodes of the running prompt have got to, told to the client at every change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from comfysim.json_types import Json


class MessageSink(Protocol):
    """The part of the server that the worker thread talks to.

    Attributes:
        client_id: Whose prompt runs; None if its sender gave none.
        last_node_id: The node at work, for a client that connects meanwhile.
    """

    client_id: Any
    last_node_id: str | None

    def send_sync(self, event: str | int, data: Json, sid: Json = None) -> None:
        """Hands a message to the loop; to everybody if sid is None."""

    def wants_preview_metadata(self, sid: Json) -> bool:
        """Whether that client negotiated previews with metadata."""


class ProgressRegistry:
    """State of one run.

    Args:
        server: Where to tell it.
        prompt_id: The run.
    """

    def __init__(self, server: MessageSink, prompt_id: str) -> None:
        self.server = server
        self.prompt_id = prompt_id
        self.nodes: dict[str, dict[str, Any]] = {}

    def node_metadata(self, node_id: str) -> dict[str, Any]:
        """Names a node in all the ways that clients look for.

        Args:
            node_id: The node.

        Returns:
            The ids, all the same as long as no node expands into others.
        """
        return {
            "node_id": node_id,
            "prompt_id": self.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }

    def start(self, node_id: str) -> None:
        """A node begins.

        Args:
            node_id: The node.
        """
        self.nodes[node_id] = {"value": 0, "max": 1, "state": "running", **self.node_metadata(node_id)}
        self._send()

    def update(self, node_id: str, value: int, total: int) -> None:
        """A node got further.

        Args:
            node_id: The node.
            value: Steps done.
            total: Steps in all.
        """
        self.nodes[node_id].update(value=value, max=total)
        self._send()

    def finish(self, node_id: str) -> None:
        """A node is done. One that failed never gets here and stays "running", as in ComfyUI.

        Args:
            node_id: The node.
        """
        entry = self.nodes.setdefault(
            node_id, {"value": 0, "max": 1, "state": "running", **self.node_metadata(node_id)}
        )
        entry.update(value=entry["max"], state="finished")
        self._send()

    def _send(self) -> None:
        nodes = {node_id: dict(entry) for node_id, entry in self.nodes.items()}
        self.server.send_sync("progress_state", {"prompt_id": self.prompt_id, "nodes": nodes}, self.server.client_id)
