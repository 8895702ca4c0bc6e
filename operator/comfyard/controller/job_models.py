"""The model files and custom nodes that a job needs on one profile: which, whether they are there, what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfyard.api.conditions import READY, find
from comfyard.api.generation_job import ReceiptNode
from comfyard.api.hardware_profile import HardwareProfile, ModelSelection
from comfyard.api.model_bundle import ModelBundle, ModelFile, ModelStatus
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.controller import reports
from comfyard.controller.job_observed import Observed, Wait
from comfyard.controller.pools import Node
from comfyard.workflow.graph import Graph
from comfyard.workflow.models import graph_of, model_files


@dataclass(frozen=True)
class Models:
    """What the bundles of a job's template give it on one profile, all of it there.

    Attributes:
        claims: That hold it, in the template's order of precedence.
        nodes: Custom nodes, sorted.
        used: The files that the job's graph names, as the store sync has told of them.
        packages: The custom nodes as git knows them.
        graph: The job's, with its values in place.
    """

    claims: tuple[str, ...]
    nodes: tuple[Node, ...]
    used: Sequence[ModelStatus]
    packages: Sequence[ReceiptNode]
    graph: Graph


def models_for(
    content: WorkflowTemplateSpec, values: Mapping[str, Any], profile: HardwareProfile, seen: Observed
) -> Models:
    """What the job needs. Raises Wait for what is not there.

    Args:
        content: What the job was accepted with.
        values: Its parameters, as they are on that profile.
        profile: The one that it is to run on. Its tags choose among the bundles' entries.
        seen: For the bundles.
    """
    bundles = [_ready(reference.name, profile, seen) for reference in content.bundles]
    nodes = _nodes(bundles)
    graph = graph_of(content, values)
    trees = {(row.name, row.commit): row.tree for bundle in bundles for row in bundle.status.custom_nodes}
    return Models(
        claims=tuple(dict.fromkeys(bundle.status.claim_name for bundle in bundles)),
        nodes=nodes,
        used=[_used(path, bundles, profile) for path in model_files(graph)],
        packages=[ReceiptNode(name=n.name, commit=n.commit, tree=trees.get((n.name, n.commit), "")) for n in nodes],
        graph=graph,
    )


def _ready(name: str, profile: HardwareProfile, seen: Observed) -> ModelBundle:
    """A bundle that has everything that the profile wants of it. Raises Wait."""
    bundle = seen.bundles.get(name)
    if bundle is None:
        raise Wait("BundleNotFound", f'modelbundles.comfyard.io "{name}" does not exist; create it')
    ready = find(bundle.status.conditions, READY)
    if bundle.is_observed() and ready:
        on_claim = not ready.reason.startswith("Claim")
        if ready.status == "True" or (on_claim and reports.has_all(bundle, profile.spec.models)):
            return bundle
    raise Wait("BundleNotReady", f"bundle {name}: {ready.message if ready else 'not looked at yet'}")


def _nodes(bundles: Sequence[ModelBundle]) -> tuple[Node, ...]:
    """The custom nodes of all bundles; two that give one folder different content cannot be in one server."""
    chosen: dict[str, tuple[str, Node]] = {}
    for bundle in bundles:
        for wanted in bundle.wanted_nodes():
            node = Node(wanted.name, wanted.git.commit, bundle.status.claim_name)
            other, known = chosen.setdefault(node.name, (bundle.metadata.name, node))
            if known.commit != node.commit:
                raise Wait(
                    "CustomNodeConflict",
                    f"custom node {node.name} is at commit {known.commit} in bundle {other} and at {node.commit} in "
                    f"bundle {bundle.metadata.name}; make them the same, or leave one bundle out of the template",
                )
    return tuple(sorted(node for _, node in chosen.values()))


def _used(path: str, bundles: Sequence[ModelBundle], profile: HardwareProfile) -> ModelStatus:
    """A file that the graph names, from the first bundle that has it for this profile. Raises Wait."""
    entries = [(bundle, model) for bundle in bundles for model in bundle.spec.models if model.path == path]
    for bundle, model in entries:
        if path not in bundle.status.skipped and profile.spec.models.wants(model.tags):
            row = next((row for row in bundle.status.models if row.path == path), None)
            if row and row.sha256:
                return row
            raise Wait("BundleNotReady", f"bundle {bundle.metadata.name}: {path} has no SHA-256 yet")
    raise _left_out(path, bundles, entries, profile)


def _left_out(
    path: str,
    bundles: Sequence[ModelBundle],
    entries: Sequence[tuple[ModelBundle, ModelFile]],
    profile: HardwareProfile,
) -> Wait:
    """Why no bundle gives this profile a file that the graph names."""
    name = profile.metadata.name
    if not entries:
        named = ", ".join(bundle.metadata.name for bundle in bundles) or "none"
        message = f"no bundle of the template ({named}) has {path}, which the job needs; add it to one of them"
        return Wait("ModelNotProvided", message)
    bundle, model = entries[0]
    if not profile.spec.models.wants(model.tags):
        return Wait(
            "ModelNotForProfile",
            f"{path}, which the job needs, has tags {', '.join(model.tags)} in bundle {bundle.metadata.name}, and "
            f"profile {name} takes {_words(profile.spec.models)}; change the tags, or order with another file or "
            "profile",
        )
    return Wait(
        "ModelSkipped",
        f"bundle {bundle.metadata.name} leaves out {path}, which the job needs on profile {name}, as no profile of its "
        f"spec.profiles wants it; add {name} there",
    )


def _words(selection: ModelSelection) -> str:
    parts = [f"only {', '.join(selection.include_tags)}"] if selection.include_tags else []
    parts += [f"none of {', '.join(selection.exclude_tags)}"] if selection.exclude_tags else []
    return " and ".join(parts)
