"""What happens to a WorkflowTemplate: checked, and every accepted content kept as a ControllerRevision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from comfyard.api.conditions import ConditionSet
from comfyard.api.meta import LABEL_MANAGED_BY, LABEL_TEMPLATE, MANAGED_BY
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate
from comfyard.kube.kinds import Obj, name_of
from comfyard.workflow.digest import digest
from comfyard.workflow.graph import node_classes
from comfyard.workflow.parameters import parameter_schema
from comfyard.workflow.templates import check_template, model_paths

_DIGEST_PART = 10
_NAME_PART = 200


@dataclass(frozen=True)
class Plan:
    """What to do about one template: the status that should be, and a revision to create first."""

    status: dict[str, Any]
    revision: Obj | None = None


def plan(
    template: WorkflowTemplate,
    status: Mapping[str, Any],
    bundles: Mapping[str, ModelBundle],
    revisions: Sequence[Obj],
    now: datetime,
) -> Plan:
    """Check the template against itself and its bundles. `revisions` are those kept for it already."""
    conditions = ConditionSet(template.status.conditions, template.metadata.generation, now)
    after = {**status, "observedGeneration": template.metadata.generation}
    problems = check_template(template.spec)
    if problems:
        conditions.stalled("Invalid", "; ".join(problems))
        return Plan({**after, "conditions": conditions.to_api()})
    missing = sorted(b.name for b in template.spec.bundles if b.name not in bundles)
    if missing:
        there = ", ".join(sorted(bundles)) or "none"
        message = f"modelbundles.comfyard.io {', '.join(missing)} not found (there: {there})"
        conditions.reconciling("BundleNotFound", f"{message}; create it, or correct spec.bundles")
        return Plan({**after, "conditions": conditions.to_api()})
    uses, unprovided = _provide(template, bundles)
    if unprovided:
        named = ", ".join(b.name for b in template.spec.bundles) or "none"
        message = f"no bundle of spec.bundles ({named}) provides {', '.join(unprovided)}; add the file to one of them"
        if any(path in bundles[b.name].status.skipped for b in template.spec.bundles for path in unprovided):
            message += ", or a profile that wants it to the spec.profiles of the one that leaves it out"
        conditions.stalled("ModelNotProvided", message)
        return Plan({**after, "conditions": conditions.to_api()})
    revision = build_revision(template, revisions)
    conditions.ready("Accepted", f"{len(template.spec.graph)} nodes, {len(template.spec.parameters)} parameters")
    accepted = {
        **after,
        "digest": digest(template.spec.to_api()),
        "revision": name_of(revision),
        "nodeClasses": node_classes(template.spec.graph),
        "models": uses,
        "parameterSchema": parameter_schema(template.spec.parameters),
        "conditions": conditions.to_api(),
    }
    known = {name_of(r) for r in revisions}
    return Plan(accepted, None if name_of(revision) in known else revision)


def _provide(template: WorkflowTemplate, bundles: Mapping[str, ModelBundle]) -> tuple[list[dict[str, str]], list[str]]:
    """Which bundle provides each model that the graph names, and which models none provides."""
    provided: dict[str, str] = {}
    for reference in reversed(template.spec.bundles):
        bundle = bundles[reference.name]
        skipped = set(bundle.status.skipped)
        provided |= {model.path: reference.name for model in bundle.spec.models if model.path not in skipped}
    wanted = model_paths(template.spec)
    uses = [{"path": path, "bundle": provided[path]} for path in wanted if path in provided]
    return uses, [path for path in wanted if path not in provided]


def build_revision(template: WorkflowTemplate, revisions: Sequence[Obj]) -> Obj:
    """The ControllerRevision of the template's content; named by digest, so that the same content has one."""
    spec = template.spec.to_api()
    key = digest(spec).removeprefix("sha256:")[:_DIGEST_PART]
    name = f"{template.metadata.name[:_NAME_PART]}-{key}"
    same = next((r for r in revisions if name_of(r) == name), None)
    if same:
        return same
    return {
        "metadata": {
            "name": name,
            "namespace": template.metadata.namespace,
            "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_TEMPLATE: template.metadata.name},
        },
        "data": {"spec": spec},
        "revision": max((int(r["revision"]) for r in revisions), default=0) + 1,
    }


def orphans(revisions: Sequence[Obj], current: str, needed: frozenset[str]) -> list[str]:
    """Names of revisions to delete once a template is gone: not its current one, and needed by no unfinished job.

    They have no owner on purpose: the garbage collector would take them with the template, under running jobs.
    """
    return [name_of(r) for r in revisions if name_of(r) != current and name_of(r) not in needed]
