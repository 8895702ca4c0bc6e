"""What the tests of jobs share: an observed surrounding in which a job can run, changed by keyword."""

from collections.abc import Mapping
from typing import Any

from comfyard.api.generation_job import GenerationJob
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.controller import jobs
from comfyard.controller.job_observed import Observed
from comfyard.controller.job_status import assigned
from comfyard.controller.pools import Server
from comfyard.controller.queue import Demand
from tests.builders import NOW, bundle, job, profile, ready, template_spec

SERVER = Server(namespace="studio", name="l4-1", pool="l4-x", profile="l4", ready=True, leaving=False)
ASSIGNMENT = {"id": "a1", "server": "l4-1", "profile": "l4", "time": "2026-01-02T03:04:00Z"}


def observed(
    *,
    template: WorkflowTemplate | None = None,
    bundles: Mapping[str, ModelBundle] | None = None,
    profiles: Mapping[str, HardwareProfile] | None = None,
    content: WorkflowTemplateSpec | None = None,
    **more: Any,
) -> Observed:
    """What is around a job; without a template, its content is still what it was accepted with."""
    seen: dict[str, Any] = {
        "template": template,
        "templates": ["text-to-image", "other"],
        "bundles": {"sd15": bundle()} if bundles is None else bundles,
        "profiles": {"l4": profile()} if profiles is None else profiles,
        "content": content or (template.spec if template else WorkflowTemplateSpec.model_validate(template_spec())),
        "server": None,
        "claims": frozenset(),
        "results_claim": "results",
    }
    return Observed(**{**seen, **more})


def plan(order: GenerationJob, seen: Observed, now: Any = NOW) -> jobs.Plan:
    return jobs.plan(order, order.status.to_api(), seen, now)


def words(result: jobs.Plan) -> tuple[str, str]:
    return result.status["state"], result.status["message"]


def reason(result: jobs.Plan) -> str:
    """Of the condition Ready, which tells of every state."""
    return next(str(c["reason"]) for c in result.status["conditions"] if c["type"] == "Ready")


def assign(order: GenerationJob, seen: Observed, server: Server = SERVER) -> dict[str, Any]:
    """The status once the scheduler has given the job a server."""
    result = plan(order, seen)
    assert result.demand
    assert result.receipt
    return assigned(order, result.status, result.receipt, server, NOW)


def done(name: str = "first", outputs: list[dict[str, Any]] | None = None, **spec: Any) -> GenerationJob:
    """A job that is Complete."""
    about = {"sha256": "a" * 64, "bytes": 1, "contentType": "image/png", "index": 0}
    made = [{"name": "image", "uri": "claim://results/studio/first/image-000.png"}] if outputs is None else outputs
    status = {
        "observedGeneration": 1,
        "state": "Complete",
        "conditions": [{**ready()[0], "type": "Complete"}],
        "outputs": [{**about, **each} for each in made],
    }
    return job(status, {"name": name}, **spec)


def demand_of(seen: Observed) -> Demand:
    """What a job asks of the scheduler that gives no more than it must."""
    result = plan(job(parameters={"prompt": "x"}), seen)
    assert result.demand
    return result.demand
