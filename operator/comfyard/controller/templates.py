"""What happens to a WorkflowTemplate: checked, and every accepted content kept as a ControllerRevision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from comfyard.api.conditions import MESSAGE_BOUND, ConditionSet
from comfyard.api.meta import LABEL_MANAGED_BY, LABEL_TEMPLATE, MANAGED_BY
from comfyard.api.model_bundle import ModelBundle, ModelKind
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.controller.node_knowledge import View, judge, lacked_everywhere
from comfyard.kube.kinds import Obj, name_of
from comfyard.workflow.checks.models import check_provided
from comfyard.workflow.digest import digest
from comfyard.workflow.findings import errors, warnings
from comfyard.workflow.graph import node_classes
from comfyard.workflow.kinds import check_kinds
from comfyard.workflow.models import model_choices, model_paths
from comfyard.workflow.object_info import core
from comfyard.workflow.parameters import parameter_schema
from comfyard.workflow.templates import check_template

WARNINGS = "Warnings"
"""Condition type: what looks wrong and stops nothing. kstatus does not read it."""

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
    views: Sequence[View] = (),
) -> Plan:
    """Check the template against itself and its bundles.

    Args:
        template: With its graph in its place.
        status: As it was read, unknown fields included.
        bundles: Of its namespace, by name.
        revisions: Those kept for it already.
        now: The time.
        views: What is known of the servers that may render it. Empty: ComfyUI's own classes are.
    """
    conditions = ConditionSet(template.status.conditions, template.metadata.generation, now)
    after = {**status, "observedGeneration": template.metadata.generation}
    found = judge(views or [View((), core())], lambda knowledge: check_template(template.spec, knowledge))
    _set_warnings(conditions, warnings(found))
    problems = errors(found)
    if problems:
        lacked = lacked_everywhere(template.spec, views)
        reason = "NodeClassUnknown" if lacked else "Invalid"
        conditions.stalled(reason, bounded([*problems, lacked] if lacked else problems))
        return Plan({**after, "conditions": conditions.to_api()})
    missing = sorted(b.name for b in template.spec.bundles if b.name not in bundles)
    if missing:
        there = ", ".join(sorted(bundles)) or "none"
        message = f"modelbundles.comfyard.io {', '.join(missing)} not found (there: {there})"
        conditions.reconciling("BundleNotFound", f"{message}; create it, or correct spec.bundles")
        return Plan({**after, "conditions": conditions.to_api()})
    provided, skipped = provide(template.spec, bundles)
    unprovided = errors(check_provided(template.spec, provided, skipped, core()))
    if unprovided:
        conditions.stalled("ModelNotProvided", bounded(unprovided))
        return Plan({**after, "conditions": conditions.to_api()})
    wrong = errors(check_kinds(template.spec, _kinds(provided, bundles), core()))
    if wrong:
        conditions.stalled("ModelWrongKind", bounded(wrong))
        return Plan({**after, "conditions": conditions.to_api()})
    revision = build_revision(template, revisions)
    conditions.ready("Accepted", _summary(template.spec, warnings(found)))
    accepted = {
        **after,
        "digest": digest(template.spec.to_api()),
        "revision": name_of(revision),
        "nodeClasses": node_classes(template.spec.graph),
        "models": [{"path": path, "bundle": provided[path]} for path in model_paths(template.spec)],
        "parameterSchema": parameter_schema(template.spec, model_choices(template.spec, provided)),
        "conditions": conditions.to_api(),
    }
    known = {name_of(r) for r in revisions}
    return Plan(accepted, None if name_of(revision) in known else revision)


def bounded(messages: Sequence[str]) -> str:
    """Messages in one, whole sentences only, within what a condition holds."""
    told = list(messages)
    while len(told) > 1 and len("; ".join(told)) > MESSAGE_BOUND - 40:
        told.pop()
    more = len(messages) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _summary(spec: WorkflowTemplateSpec, found: Sequence[str]) -> str:
    counts = [f"{len(spec.graph)} nodes", f"{len(spec.parameters)} parameters"]
    counts += [f"{len(found)} warning{'s' * (len(found) > 1)}: {found[0]}"] if found else []
    return ", ".join(counts)


def _set_warnings(conditions: ConditionSet, found: Sequence[str]) -> None:
    if found:
        conditions.set(WARNINGS, status=True, reason="Found", message=bounded(found))
    elif conditions.find(WARNINGS):
        conditions.set(WARNINGS, status=False, reason="None", message="")


def provide(spec: WorkflowTemplateSpec, bundles: Mapping[str, ModelBundle]) -> tuple[dict[str, str], set[str]]:
    """Which bundle provides each path, the first of spec.bundles before the others; and the paths that one skips."""
    provided: dict[str, str] = {}
    left_out: set[str] = set()
    for bundle in (bundles[reference.name] for reference in reversed(spec.bundles)):
        skipped = set(bundle.status.skipped)
        left_out |= skipped
        provided |= {m.path: bundle.metadata.name for m in bundle.spec.models if m.path not in skipped}
    return provided, left_out


def _kinds(provided: Mapping[str, str], bundles: Mapping[str, ModelBundle]) -> dict[str, ModelKind]:
    """What the files are that are there, by path; provided is the bundle of each."""
    rows = ((name, row) for name in set(provided.values()) for row in bundles[name].status.models)
    return {row.path: row.kind for name, row in rows if row.kind and provided.get(row.path) == name}


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
