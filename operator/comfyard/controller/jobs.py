"""What happens to a GenerationJob: accepted or not, waiting for what, assigned, retried, ended."""

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from comfyard.api.attempts import end_attempt, parse_time, usage_after
from comfyard.api.conditions import FAILED, READY, SUSPENDED, ConditionSet, find, is_true, timestamp
from comfyard.api.generation_job import GenerationJob, TemplateRevision, Usage
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.controller.pools import Node, Pool, Server, shape_of
from comfyard.controller.retry import Again, GiveUp, after_attempts
from comfyard.controller.scheduler import Demand
from comfyard.workflow.parameters import MAX_SEED, given_seed, resolve

Status = dict[str, Any]


@dataclass(frozen=True)
class Observed:
    """What a decision about one job is made from; of its own namespace, by name.

    Attributes:
        revision: The content that the job was accepted with, once it was.
        server: The server of the job's assignment, if it is still there.
        claims: Names of the claims that are there.
        results_claim: The operator's default for results; it need not be there yet.
    """

    template: WorkflowTemplate | None
    templates: Sequence[str]
    bundles: Mapping[str, ModelBundle]
    profiles: Mapping[str, HardwareProfile]
    revision: WorkflowTemplateSpec | None
    server: Server | None
    claims: frozenset[str]
    results_claim: str


@dataclass(frozen=True)
class Plan:
    """What to do about one job.

    Attributes:
        status: What the status should be.
        demand: Set when the job could run, if it had a server.
        after: Look again in so many seconds.
    """

    status: Status
    demand: Demand | None = None
    after: float | None = None


class _Wait(Exception):  # noqa: N818 - not an error, a reason to stop deciding
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class _Wrong(_Wait):
    """Nothing that may still come can make it right."""


def plan(job: GenerationJob, status: Status, seen: Observed, now: datetime) -> Plan:
    """Decide from what was observed. `status` is the job's status as it was read, unknown fields included."""
    if job.metadata.deletion_timestamp:
        return Plan(status)
    if job.is_finished():  # and stays so; but kstatus takes an unobserved generation for unfinished
        return Plan({**status, "observedGeneration": job.metadata.generation})
    if job.spec.suspend:
        return Plan(_suspended(job, _without_assignment(job, status, seen, now, "Stopped", "suspended"), now))
    if job.status.assignment:
        left = _seconds_to_live(seen.server, now)
        if left > 0:
            observed = {**status, "observedGeneration": job.metadata.generation}
            return Plan(observed, after=None if left == math.inf else left)
        status = _without_assignment(job, status, seen, now, "Failed", _why_lost(job, seen))
        job = job.model_copy(update={"status": type(job.status).model_validate(status)})
    return _plan_unassigned(job, status, seen, now)


def _plan_unassigned(job: GenerationJob, status: Status, seen: Observed, now: datetime) -> Plan:
    verdict = after_attempts(job.status.attempts, len(job.spec.profiles), job.spec.backoff_limit)
    if isinstance(verdict, GiveUp):
        return Plan(_failed(job, status, verdict.reason, verdict.message, now))
    try:
        accepted = {**status, **_accept(job, seen)}
        pool = _pool(job, seen, verdict)
    except _Wrong as wrong:
        return Plan(_failed(job, status, wrong.reason, wrong.message, now))
    except _Wait as wait:
        return Plan(waiting(job, status, "Pending", wait.reason, wait.message, now))
    if verdict.not_before and now < verdict.not_before:
        seconds = (verdict.not_before - now).total_seconds()
        message = f"tries again at {timestamp(verdict.not_before)}: {job.status.attempts[-1].message}"
        return Plan(waiting(job, accepted, "Queued", "BackOff", message, now), after=seconds)
    demand = Demand(
        job=(job.metadata.namespace, job.metadata.name),
        pool=pool,
        priority=job.spec.priority,
        created=job.metadata.creation_timestamp,
    )
    return Plan(accepted, demand)


def _accept(job: GenerationJob, seen: Observed) -> Status:
    """The template's revision, the values and the seed, fixed once: a changed template is for later jobs."""
    if job.status.template:
        return {}
    template = seen.template
    name, namespace = job.spec.template.name, job.metadata.namespace
    if template is None:
        there = ", ".join(sorted(seen.templates)) or "none"
        raise _Wait(
            "TemplateNotFound",
            f'workflowtemplates.comfyard.io "{name}" is not in namespace "{namespace}" (there: {there}); '
            "create it, or order again with another template",
        )
    if template.status.observed_generation != template.metadata.generation:
        raise _Wait("TemplateNotReady", f"template {name} is being checked")
    if not is_true(template.status.conditions, READY):
        ready = find(template.status.conditions, READY)
        raise _Wait(
            "TemplateNotReady", f"template {name} is not ready: {ready.message if ready else 'no condition yet'}"
        )
    values, problems = resolve(template.spec, job.spec.parameters)
    try:
        seed = given_seed(template.spec, job.spec.parameters) if not problems else None
    except ValueError as error:
        problems = [str(error)]
        seed = None
    if problems:
        raise _Wrong("InvalidParameters", "; ".join(problems) + " (spec is immutable: correct it in a new job)")
    revision = TemplateRevision(revision=template.status.revision, digest=template.status.digest)
    return {
        "template": revision.to_api(),
        "parameters": values,
        "seed": str(draw_seed(job) if seed is None else seed),
    }


def draw_seed(job: GenerationJob) -> int:
    """A seed for a job that gives none. The uid is random, so this is; and it is the same when asked twice."""
    return uuid.uuid5(uuid.UUID(job.metadata.uid), "seed").int & MAX_SEED


def _pool(job: GenerationJob, seen: Observed, verdict: Again) -> Pool:
    name = job.spec.profiles[verdict.profile]
    profile = seen.profiles.get(name)
    if profile is None:
        there = ", ".join(sorted(seen.profiles)) or "none"
        raise _Wait(
            "ProfileNotFound", f'hardwareprofiles.comfyard.io "{name}" does not exist (there: {there}); create it'
        )
    bundles = _bundles(seen)
    return Pool(
        namespace=job.metadata.namespace,
        profile=name,
        model_claims=tuple(dict.fromkeys(bundle.status.claim_name for bundle in bundles)),
        results_claim=_results_claim(job, seen),
        shape=shape_of(profile),
        nodes=_nodes(bundles),
    )


def _bundles(seen: Observed) -> list[ModelBundle]:
    """The bundles of the job's template, all Ready."""
    spec = seen.revision or (seen.template.spec if seen.template else None)
    if spec is None:
        raise _Wrong("RevisionNotFound", "the accepted content of the template was deleted; order again")
    bundles: list[ModelBundle] = []
    for reference in spec.bundles:
        bundle = seen.bundles.get(reference.name)
        if bundle is None:
            raise _Wait("BundleNotFound", f'modelbundles.comfyard.io "{reference.name}" does not exist; create it')
        ready = find(bundle.status.conditions, READY)
        if not bundle.is_observed() or ready is None or ready.status != "True":
            raise _Wait("BundleNotReady", f"bundle {reference.name}: {ready.message if ready else 'not looked at yet'}")
        bundles.append(bundle)
    return bundles


def _nodes(bundles: Sequence[ModelBundle]) -> tuple[Node, ...]:
    """The custom nodes of all bundles; two that give one folder different content cannot be in one server."""
    chosen: dict[str, tuple[str, Node]] = {}
    for bundle in bundles:
        for wanted in bundle.wanted_nodes():
            node = Node(wanted.name, wanted.git.commit, bundle.status.claim_name)
            other, known = chosen.setdefault(node.name, (bundle.metadata.name, node))
            if known.commit != node.commit:
                raise _Wait(
                    "CustomNodeConflict",
                    f"custom node {node.name} is at commit {known.commit} in bundle {other} and at {node.commit} in "
                    f"bundle {bundle.metadata.name}; make them the same, or leave one bundle out of the template",
                )
    return tuple(sorted(node for _, node in chosen.values()))


def _results_claim(job: GenerationJob, seen: Observed) -> str:
    if job.spec.output.s3:
        return ""
    if job.spec.output.claim is None:
        return seen.results_claim
    name = job.spec.output.claim.name
    if name not in seen.claims:
        raise _Wait("ClaimNotFound", f'PersistentVolumeClaim "{name}" (spec.output.claim) does not exist; create it')
    return name


def assign(job: GenerationJob, status: Status, server: Server, now: datetime) -> Status:
    """The status with the assignment to a server: one write, fenced by the id from here on."""
    where = f"assigned to server {server.name}"
    conditions = _conditions(job, now)
    conditions.reconciling("Assigned", where)
    assigned = {
        "id": str(uuid.uuid5(uuid.UUID(job.metadata.uid), f"assignment/{len(job.status.attempts)}/{server.name}")),
        "server": server.name,
        "profile": server.profile,
        "time": timestamp(now),
    }
    waited = round((now - parse_time(job.metadata.creation_timestamp)).total_seconds())
    first = {
        "startTime": timestamp(now),
        "usage": Usage(queued_seconds=max(0, waited)).to_api(),
    }
    kept = {key: value for key, value in first.items() if status.get(key) is None}
    return {**status, **kept, "assignment": assigned, **_words(job, "Assigned", where, conditions)}


def waiting(job: GenerationJob, status: Status, state: str, reason: str, message: str, now: datetime) -> Status:
    """The status of a job that waits for something."""
    conditions = _conditions(job, now)
    conditions.reconciling(reason, message)
    return {**status, **_words(job, state, message, conditions)}


def _suspended(job: GenerationJob, status: Status, now: datetime) -> Status:
    message = "suspended; set spec.suspend to false to go on"
    conditions = _conditions(job, now)
    conditions.paused("Suspended", message)
    conditions.set(SUSPENDED, status=True, reason="Suspended", message=message)
    return {**status, **_words(job, "Suspended", message, conditions)}


def _failed(job: GenerationJob, status: Status, reason: str, message: str, now: datetime) -> Status:
    conditions = _conditions(job, now)
    conditions.stalled(reason, message)
    conditions.set(FAILED, status=True, reason=reason, message=message)
    return {**status, "completionTime": timestamp(now), **_words(job, "Failed", message, conditions)}


def _conditions(job: GenerationJob, now: datetime) -> ConditionSet:
    conditions = ConditionSet(job.status.conditions, job.metadata.generation, now)
    if is_true(job.status.conditions, SUSPENDED) and not job.spec.suspend:
        conditions.set(SUSPENDED, status=False, reason="Resumed", message="")
    return conditions


def _words(job: GenerationJob, state: str, message: str, conditions: ConditionSet) -> Status:
    return {
        "observedGeneration": job.metadata.generation,
        "state": state,
        "message": message[:4096],
        "conditions": conditions.to_api(),
    }


def _seconds_to_live(server: Server | None, now: datetime) -> float:
    """Until the job's server is lost if it does not become Ready: infinite while it is, 0 when it is gone."""
    if server is None:
        return 0
    return math.inf if server.lost_at is None else max(0, (server.lost_at - now).total_seconds())


def _why_lost(job: GenerationJob, seen: Observed) -> str:
    assignment = job.status.assignment
    name = assignment.server if assignment else ""
    if seen.server is None:
        return f"server {name} is gone"
    return f"server {name} is not ready"


def _without_assignment(
    job: GenerationJob, status: Status, seen: Observed, now: datetime, outcome: str, message: str
) -> Status:
    """The status with the assignment ended by the operator; its agent cannot write any more."""
    assignment = job.status.assignment
    if assignment is None:
        return status
    lost = outcome == "Failed"
    record = end_attempt(assignment, "Failed" if lost else "Stopped", now, "ServerLost" if lost else None, message)
    profile = seen.profiles.get(assignment.profile)
    usage = usage_after(job, assignment, profile.spec.gpu.count if profile else 0, now)
    ended = {key: value for key, value in status.items() if key not in {"assignment", "progress"}}
    return {**ended, "attempts": [*status.get("attempts", []), record.to_api()], "usage": usage.to_api()}
