"""What a job that is accepted needs of a server on one of its profiles, and what makes its results what they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from comfyard.api.generation_job import GenerationJob, Receipt
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.output import OutputStore
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.controller.job_inputs import input_claims
from comfyard.controller.job_memory import Fit
from comfyard.controller.job_needs import needs_of
from comfyard.controller.job_observed import Observed, Wrong
from comfyard.controller.job_output import results_claim
from comfyard.controller.job_status import Status
from comfyard.controller.pools import Pool
from comfyard.workflow.parameters import resolve


@dataclass(frozen=True)
class Placement:
    """A job on one of its profiles.

    Attributes:
        pool: The servers that can run it.
        models: SHA-256 of the model files that it loads.
        parameters: Its values there.
        receipt: As far as it is known before the job runs.
        fit: Whether its files fit into the VRAM there.
    """

    pool: Pool
    models: frozenset[str]
    parameters: Mapping[str, Any]
    receipt: Receipt
    fit: Fit


def place(job: GenerationJob, accepted: Status, profile: HardwareProfile, seen: Observed) -> Placement:
    """The job on that profile. Raises Wait for what is not there, and Wrong for what never will be.

    Args:
        job: The job.
        accepted: Its status with what acceptance has fixed.
        profile: One of its profiles.
        seen: What is around.
    """
    if seen.content is None:
        raise Wrong("RevisionNotFound", "the accepted content of the template was deleted; order again")
    inputs = input_claims(job, seen)
    values = _values(job, accepted["parameters"], seen.content, profile)
    needs = needs_of(seen.content, values, profile, seen)
    results = results_claim(OutputStore.model_validate(accepted["output"]), seen)
    pool = _pool(
        namespace=job.metadata.namespace,
        profile=profile.metadata.name,
        model_claims=needs.claims,
        results_claim=results,
        nodes=needs.nodes,
        input_claims=tuple(sorted(inputs - {results})),  # that one is there for inputs, too
    )
    if needs.lack:
        raise Wrong("Invalid", needs.lack)
    receipt = Receipt(template=accepted["template"]["digest"], models=needs.models, nodes=needs.packages)
    return Placement(pool, needs.digests, values, receipt, needs.fit)


_pool = lru_cache(maxsize=1024)(Pool)
"""One object for all jobs of a pool: its name is a digest, and ten thousand waiting jobs hold one each."""


def _values(
    job: GenerationJob, accepted: Mapping[str, Any], content: WorkflowTemplateSpec, profile: HardwareProfile
) -> dict[str, Any]:
    """The accepted values, with those that the profile's tier decides. Only these are decided again for a profile."""
    tiered = [p.name for p in content.parameters if p.by_tier is not None]
    if not tiered:
        return dict(accepted)
    chosen, problems = resolve(content, job.spec.parameters, profile.spec.tier)
    missing = [name for name in tiered if name not in chosen]
    if missing:
        raise Wrong("InvalidParameters", f"on profile {profile.metadata.name}: {'; '.join(problems)}")
    return {**accepted, **{name: chosen[name] for name in tiered}}
