"""What is fixed once for a job, when it is accepted: the template's content, values, seed, place for results."""

import uuid
from collections.abc import Collection

from comfyard.api.conditions import READY, find, is_true
from comfyard.api.generation_job import GenerationJob, TemplateRevision
from comfyard.api.workflow_template import WorkflowTemplate
from comfyard.controller.job_observed import Observed, Wait, Wrong
from comfyard.controller.job_output import decide_output
from comfyard.controller.job_status import Status
from comfyard.workflow.checks.models import model_value_problems
from comfyard.workflow.findings import Finding, errors
from comfyard.workflow.parameters import MAX_SEED, check_inputs, given_seed, resolve


def accept(job: GenerationJob, seen: Observed) -> Status:
    """The fields of status that acceptance adds; none when the job is accepted already.

    A template, an annotation or a default that changes later is for later jobs. Raises Wait, and Wrong for what is
    wrong with the order itself.
    """
    if job.status.template:
        return {}
    template = _ready_template(job, seen)
    values, problems = resolve(template.spec, job.spec.parameters)
    problems += errors(check_inputs(template.spec, job.spec.inputs))
    problems += errors(_check_models(job, template, seen))
    try:
        seed = given_seed(template.spec, job.spec.parameters) if not problems else None
    except ValueError as error:
        problems = [str(error)]
        seed = None
    if problems:
        raise Wrong("InvalidParameters", "; ".join(problems) + " (spec is immutable: correct it in a new job)")
    revision = TemplateRevision(revision=template.status.revision, digest=template.status.digest)
    return {
        "template": revision.to_api(),
        "parameters": values,
        "output": decide_output(job.metadata.namespace, job.spec.output, seen).to_api(),
        "seed": str(draw_seed(job) if seed is None else seed),
    }


def _check_models(job: GenerationJob, template: WorkflowTemplate, seen: Observed) -> list[Finding]:
    """Whether the files that the order names are provided; not asked while a bundle is away, which is waited for."""
    bundles = [seen.bundles.get(reference.name) for reference in template.spec.bundles]
    if None in bundles:
        return []
    provided = {model.path for bundle in bundles if bundle for model in bundle.wanted_models()}
    return model_value_problems(template.spec, job.spec.parameters, provided)


def draw_seed(job: GenerationJob) -> int:
    """A seed for a job that gives none. The uid is random, so this is; and it is the same when asked twice."""
    return uuid.uuid5(uuid.UUID(job.metadata.uid), "seed").int & MAX_SEED


def _ready_template(job: GenerationJob, seen: Observed) -> WorkflowTemplate:
    template = ready_template(job.spec.template.name, job.metadata.namespace, seen.template, seen.templates)
    if seen.content is None:
        raise Wait(
            "TemplateNotReady",
            f"template {job.spec.template.name}: its content {template.status.revision} is being kept",
        )
    return template


def ready_template(
    name: str, namespace: str, template: WorkflowTemplate | None, templates: Collection[str]
) -> WorkflowTemplate:
    """The template of that name, if it is there and was accepted; `templates` are those there are. Raises Wait."""
    if template is None:
        there = ", ".join(sorted(templates)) or "none"
        raise Wait(
            "TemplateNotFound",
            f'workflowtemplates.comfyard.io "{name}" is not in namespace "{namespace}" (there: {there}); '
            "create it, or order again with another template",
        )
    if template.status.observed_generation != template.metadata.generation:
        raise Wait("TemplateNotReady", f"template {name} is being checked")
    if not is_true(template.status.conditions, READY):
        ready = find(template.status.conditions, READY)
        raise Wait(
            "TemplateNotReady", f"template {name} is not ready: {ready.message if ready else 'no condition yet'}"
        )
    return template
