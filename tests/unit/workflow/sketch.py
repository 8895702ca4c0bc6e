"""Files of ComfyUI's editor, drawn by hand: nodes, and links from where to where."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from comfyard.workflow.object_info import Knowledge, core

INPUTS, OUTPUTS = -10, -20
Origin = tuple[str | int, int]


class Sketch:
    """A canvas: of a file, or of a subgraph in it."""

    def __init__(self, knowledge: Knowledge | None = None) -> None:
        self._knowledge = knowledge or core()
        self._numbers = count(1)
        self.nodes: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []

    def add(
        self,
        node_id: str | int,
        kind: str,
        values: Sequence[Any] | Mapping[str, Any] | None = None,
        links: Mapping[str, Origin | None] | None = None,
        **more: Any,
    ) -> "Sketch":
        """Add a node. Types are those of its class; of one that only the editor knows, any."""
        node_class = self._knowledge.find(kind)
        inputs = []
        for index, (name, origin) in enumerate((links or {}).items()):
            known = node_class.inputs.get(name) if node_class else None
            number = self._link(origin, node_id, index) if origin else None
            slot = {"name": name, "type": known.type if known else "*", "link": number}
            inputs.append(slot | ({"widget": {"name": name}} if known and known.has_widget else {}))
        outputs = [{"name": each.name, "type": each.type} for each in node_class.outputs] if node_class else []
        node = {"id": node_id, "type": kind, "inputs": inputs, "outputs": outputs, "widgets_values": values}
        self.nodes.append(node | more)
        return self

    def give(self, index: int, origin: Origin) -> "Sketch":
        """Give an output of a subgraph."""
        self._link(origin, OUTPUTS, index)
        return self

    def _link(self, origin: Origin, target: str | int, slot: int) -> int:
        link = {"id": next(self._numbers), "origin_id": origin[0], "origin_slot": origin[1]}
        self.links.append(link | {"target_id": target, "target_slot": slot, "type": "*"})
        return int(link["id"])

    def file(self, *subgraphs: dict[str, Any], version: float = 0.4) -> dict[str, Any]:
        """The file. Its links are lists in version 0.4, objects in 1.0."""
        links = self.links if version >= 1 else [list(link.values()) for link in self.links]
        content = {"version": version, "nodes": self.nodes, "links": links}
        return content | ({"definitions": {"subgraphs": list(subgraphs)}} if subgraphs else {})

    def subgraph(self, name: str, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> dict[str, Any]:
        """The definition of a subgraph, whose name is its id."""

        def slot(each: str, index: int, end: str, at: int) -> dict[str, Any]:
            ids = [link["id"] for link in self.links if (link[f"{end}_id"], link[f"{end}_slot"]) == (at, index)]
            return {"name": each, "type": "*", "linkIds": ids}

        return {
            "id": name,
            "nodes": self.nodes,
            "links": self.links,
            "inputs": [slot(each, i, "origin", INPUTS) for i, each in enumerate(inputs)],
            "outputs": [slot(each, i, "target", OUTPUTS) for i, each in enumerate(outputs)],
        }
