"""The graph of a template that is kept in a ConfigMap (spec.graphFrom): read, and put where an inline one stands.

ComfyUI's own export, as `kubectl create configmap NAME --from-file graph.json` or Kustomize's configMapGenerator keep
it. What is read is accepted and kept with the template's revision: a job never asks the ConfigMap.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from comfyard.api.conditions import ConditionSet
from comfyard.api.workflow_template import ConfigMapKey, WorkflowTemplate
from comfyard.kube.kinds import Obj

LOOK_SECONDS = 60
"""How often a ConfigMap is read again. Kubelet takes as long for those in volumes; nobody watches all ConfigMaps."""

MISSING_SECONDS = 10
"""Likewise for one that is not there: somebody is at it."""


@dataclass(frozen=True)
class NoGraph:
    """Why a template has no graph.

    Attributes:
        kind: Reconciling when it may come by itself, Stalled when somebody has to change something.
        reason: One word in CamelCase.
        message: With the fix.
    """

    kind: Literal["Reconciling", "Stalled"]
    reason: str
    message: str


def read_graph(reference: ConfigMapKey, found: Obj | None) -> dict[str, Any] | NoGraph:
    """The graph from a ConfigMap; None: it is not there."""
    where = f"ConfigMap {reference.name} (spec.graphFrom)"
    if found is None:
        return NoGraph("Reconciling", "GraphNotFound", f"{where} does not exist; create it")
    keys = found.get("data") or {}
    if reference.key not in keys:
        there = ", ".join(sorted(keys)) or "none"
        binary = reference.key in (found.get("binaryData") or {})
        fix = "it is in binaryData, keep it as text" if binary else f"there: {there}"
        return NoGraph("Reconciling", "GraphNotFound", f"{where} has no key {reference.key} in data ({fix}); add it")
    try:
        graph = json.loads(keys[reference.key], parse_constant=_refuse)
        json.dumps(graph, ensure_ascii=False).encode()  # half a surrogate pair is JSON, but can be kept nowhere
    except (ValueError, RecursionError) as error:
        return _not_a_graph(reference, f"is not JSON: {error}")
    if not isinstance(graph, dict):
        return _not_a_graph(reference, f"is JSON, but no object: {keys[reference.key][:40]}")
    return graph


def with_graph(template: WorkflowTemplate, graph: dict[str, Any]) -> WorkflowTemplate:
    """The template as if the graph were inline: the same content, whichever way it is given."""
    spec = template.spec.model_copy(update={"graph": graph, "graph_from": None})
    return template.model_copy(update={"spec": spec})


def status_without(
    template: WorkflowTemplate, status: Mapping[str, Any], cause: NoGraph, now: datetime
) -> dict[str, Any]:
    """The status of a template whose graph is not to be had. What was accepted before stays on record."""
    conditions = ConditionSet(template.status.conditions, template.metadata.generation, now)
    (conditions.reconciling if cause.kind == "Reconciling" else conditions.stalled)(cause.reason, cause.message)
    return {**status, "observedGeneration": template.metadata.generation, "conditions": conditions.to_api()}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _not_a_graph(reference: ConfigMapKey, what: str) -> NoGraph:
    where = f"key {reference.key} of ConfigMap {reference.name} (spec.graphFrom)"
    return NoGraph("Stalled", "Invalid", f"{where} {what}; export the graph from ComfyUI with Workflow > Export (API)")
