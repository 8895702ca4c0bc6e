"""What a job needs on a profile, found out once for all jobs that need the same."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfyard.api.generation_job import ReceiptModel, ReceiptNode
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.controller.job_memory import Fit, fit
from comfyard.controller.job_models import models_for
from comfyard.controller.job_observed import Observed
from comfyard.controller.node_knowledge import why_not
from comfyard.controller.pools import Node
from comfyard.workflow.memo import Memo
from comfyard.workflow.memory import deciding


@dataclass(frozen=True)
class Needs:
    """What jobs of one template need on one profile, all of it there.

    Attributes:
        claims: That hold the model files, in the template's order of precedence.
        nodes: Custom nodes, sorted.
        models: The files that the graph names.
        digests: SHA-256 of these.
        packages: The custom nodes as git knows them.
        fit: Whether the files fit into the VRAM there.
        lack: What the servers there are known not to have, for a person; None: nothing.
    """

    claims: tuple[str, ...]
    nodes: tuple[Node, ...]
    models: Sequence[ReceiptModel]
    digests: frozenset[str]
    packages: Sequence[ReceiptNode]
    fit: Fit
    lack: str | None


def needs_of(
    content: WorkflowTemplateSpec, values: Mapping[str, Any], profile: HardwareProfile, seen: Observed
) -> Needs:
    """What a job needs. Raises Wait for what is not there.

    Args:
        content: What the job was accepted with.
        values: Its parameters, as they are on that profile.
        profile: The one that it is to run on.
        seen: For the bundles, and for what servers have told.
    """
    bundles = [seen.bundles.get(reference.name) for reference in content.bundles]
    names = _DECIDING.get([content], lambda: deciding(content))
    chosen = json.dumps({name: values[name] for name in sorted(names & values.keys())})
    parts = [content, profile, *bundles, *seen.node_reports.values()]
    return _NEEDS.get(parts, lambda: _find(content, values, profile, seen), (chosen, tuple(seen.node_reports)))


def _find(content: WorkflowTemplateSpec, values: Mapping[str, Any], profile: HardwareProfile, seen: Observed) -> Needs:
    models = models_for(content, values, profile, seen)
    return Needs(
        claims=models.claims,
        nodes=models.nodes,
        models=[ReceiptModel(path=row.path, sha256=row.sha256) for row in models.used if row.sha256],
        digests=frozenset(row.sha256 for row in models.used if row.sha256),
        packages=models.packages,
        fit=fit(models.graph, {row.path: row for row in models.used}, profile),
        lack=why_not(content, profile, {(n.name, n.commit) for n in models.nodes}, seen.node_reports),
    )


_DECIDING: Memo[frozenset[str]] = Memo(128)
_NEEDS: Memo[Needs] = Memo(512)
