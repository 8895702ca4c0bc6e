"""Graphs that templates keep in ConfigMaps, read by GET, now and then: to watch all ConfigMaps would cost more."""

import time
from dataclasses import dataclass
from typing import Any

from comfyard.api.workflow_template import ConfigMapKey, WorkflowTemplate
from comfyard.controller.graph_source import LOOK_SECONDS, MISSING_SECONDS, NoGraph, read_graph
from comfyard.kube.errors import NotFoundError
from comfyard.kube.kinds import CONFIG_MAP, Obj
from comfyard.kube.protocol import KubeClient
from comfyard.runtime.cache import Key


@dataclass(frozen=True)
class Look:
    """What was found.

    Attributes:
        content: What it was looked up for: another object, or another spec, needs another look.
        graph: The graph, or why there is none.
        until: When to look again, by `time.monotonic()`.
    """

    content: tuple[str, int]
    graph: dict[str, Any] | NoGraph
    until: float

    def holds(self, content: tuple[str, int], moment: float) -> bool:
        """Whether it need not be looked up again."""
        return self.content == content and moment < self.until


class Graphs:
    """What was found last, by template."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._looks: dict[Key, Look] = {}

    async def look(self, template: WorkflowTemplate, reference: ConfigMapKey) -> Look:
        """The graph of a template, from memory unless it is time to ask. Raises ApiError."""
        meta = template.metadata
        key, content = (meta.namespace, meta.name), (meta.uid, meta.generation)
        known = self._looks.get(key)
        if known and known.holds(content, time.monotonic()):
            return known
        graph = read_graph(reference, await self._get(meta.namespace, reference.name))
        missing = isinstance(graph, NoGraph) and graph.kind == "Reconciling"
        look = Look(content, graph, time.monotonic() + (MISSING_SECONDS if missing else LOOK_SECONDS))
        self._looks[key] = look
        return look

    def forget(self, key: Key) -> None:
        """The template is gone, or has its graph inline."""
        self._looks.pop(key, None)

    async def _get(self, namespace: str, name: str) -> Obj | None:
        try:
            return await self._client.get(CONFIG_MAP, name, namespace)
        except NotFoundError:
            return None
