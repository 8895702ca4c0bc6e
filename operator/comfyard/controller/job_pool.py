"""What a job that is accepted needs of a server on one of its profiles, and what makes its results what they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfyard.api.generation_job import GenerationJob, Receipt
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.output import OutputStore
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.controller.job_inputs import input_claims
from comfyard.controller.job_memory import Fit, fit
from comfyard.controller.job_models import models_for
from comfyard.controller.job_observed import Observed, Wait, Wrong
from comfyard.controller.job_output import results_claim
from comfyard.controller.job_status import Status
from comfyard.controller.node_knowledge import why_not
from comfyard.controller.pools import Pool, shape_of
from comfyard.workflow.parameters import resolve


@dataclass(frozen=True)
class Placement:
    """A job on one of its profiles.

    Attributes:
        pool: The servers that can run it.
        parameters: Its values there.
        receipt: As far as it is known before the job runs.
        fit: Whether its files fit into the VRAM there.
    """

    pool: Pool
    parameters: Mapping[str, Any]
    receipt: Receipt
    fit: Fit


def place(job: GenerationJob, accepted: Status, profile_name: str, seen: Observed) -> Placement:
    """The job on that profile. Raises Wait for what is not there, and Wrong for what never will be.

    Args:
        job: The job.
        accepted: Its status with what acceptance has fixed.
        profile_name: One of its profiles.
        seen: What is around.
    """
    if seen.content is None:
        raise Wrong("RevisionNotFound", "the accepted content of the template was deleted; order again")
    inputs = input_claims(job, seen)
    profile = _profile(profile_name, seen)
    values = _values(job, accepted["parameters"], seen.content, profile)
    models = models_for(seen.content, values, profile, seen)
    results = results_claim(OutputStore.model_validate(accepted["output"]), seen)
    pool = Pool(
        namespace=job.metadata.namespace,
        profile=profile_name,
        model_claims=models.claims,
        results_claim=results,
        shape=shape_of(profile),
        nodes=models.nodes,
        input_claims=tuple(sorted(inputs - {results})),  # that one is there for inputs, too
    )
    lack = why_not(seen.content, profile, pool.packages, seen.node_reports)
    if lack:
        raise Wrong("Invalid", lack)
    receipt = {
        "template": accepted["template"]["digest"],
        "models": [{"path": row.path, "sha256": row.sha256} for row in models.used],
        "nodes": models.packages,
    }
    fits = fit(models.graph, {row.path: row for row in models.used}, profile)
    return Placement(pool, values, Receipt.model_validate(receipt), fits)


def _profile(name: str, seen: Observed) -> HardwareProfile:
    profile = seen.profiles.get(name)
    if profile is None:
        there = ", ".join(sorted(seen.profiles)) or "none"
        raise Wait(
            "ProfileNotFound", f'hardwareprofiles.comfyard.io "{name}" does not exist (there: {there}); create it'
        )
    return profile


def _values(
    job: GenerationJob, accepted: Mapping[str, Any], content: WorkflowTemplateSpec, profile: HardwareProfile
) -> dict[str, Any]:
    """The accepted values, with those that the profile's tier decides. Only these are decided again for a profile."""
    chosen, problems = resolve(content, job.spec.parameters, profile.spec.tier)
    tiered = [p.name for p in content.parameters if p.by_tier is not None]
    missing = [name for name in tiered if name not in chosen]
    if missing:
        raise Wrong("InvalidParameters", f"on profile {profile.metadata.name}: {'; '.join(problems)}")
    return {**accepted, **{name: chosen[name] for name in tiered}}
