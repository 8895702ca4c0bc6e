"""What a profile's servers render once before they count as ready: a template, with its defaults."""

import json
import uuid
from dataclasses import dataclass

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.workflow_template import WorkflowTemplate
from comfyard.controller.job_acceptance import ready_template
from comfyard.controller.job_models import Models, models_for
from comfyard.controller.job_observed import Observed, Wait
from comfyard.controller.job_output import decide_output, results_claim
from comfyard.controller.pools import Pool
from comfyard.controller.trouble import Trouble
from comfyard.workflow.graph import MAX_GRAPH_BYTES
from comfyard.workflow.parameters import FILE_TYPES, resolve
from comfyard.workflow.prompts import build_prompts

_SEED = 0
_UID = uuid.uuid5(uuid.NAMESPACE_DNS, "warm-up.comfyard.io")
"""In the place of a job's. The agent gives the prompt an id and its files a folder of its own."""


@dataclass(frozen=True)
class WarmUp:
    """What servers are warmed up with.

    Attributes:
        pool: Of a job of the template that says nothing of inputs or outputs.
        graph: In API format, as JSON.
    """

    pool: Pool
    graph: str

    def suits(self, pool: Pool) -> bool:
        """Whether the servers of a pool can render it: they have its models and custom nodes."""
        return (pool.namespace, pool.profile, pool.model_claims, pool.nodes) == (
            self.pool.namespace,
            self.pool.profile,
            self.pool.model_claims,
            self.pool.nodes,
        )


def plan_warm_up(profile: HardwareProfile, seen: Observed) -> WarmUp | Trouble | None:
    """What the servers of a profile are warmed up with, or why they are not; None when nobody asks for it.

    Args:
        profile: The profile.
        seen: Around a job of the template, in its namespace.
    """
    wanted = profile.spec.pool.warm_up
    if wanted is None:
        return None
    try:
        template = ready_template(wanted.template, wanted.namespace, seen.template, seen.templates)
        if seen.content is None:
            return Trouble("TemplateNotReady", f"template {wanted.template}: its content is being kept")
        return _warm_up(profile, wanted.namespace, template, seen)
    except Wait as wait:
        return Trouble(wait.reason, wait.message)


def _warm_up(profile: HardwareProfile, namespace: str, template: WorkflowTemplate, seen: Observed) -> WarmUp | Trouble:
    name = template.metadata.name
    files = [p.name for p in template.spec.parameters if p.type in FILE_TYPES]
    if files:
        message = (
            f"parameter {files[0]} of template {name} needs a file; name a template in pool.warmUp that needs none"
        )
        return Trouble("FileNeeded", message)
    values, problems = resolve(template.spec, {}, profile.spec.tier)
    if problems:
        message = f"template {name} cannot do with its defaults: {problems[0]}; give it one, or name another template"
        return Trouble("NoDefault", message)
    models = models_for(template.spec, values, profile, seen)
    prompt = build_prompts(template.spec, values, _SEED, uid=str(_UID), attempt=0, count=1)[0]
    graph = json.dumps(prompt.graph, separators=(",", ":"))
    if len(graph.encode()) > MAX_GRAPH_BYTES:
        return Trouble(
            "GraphTooLarge", f"the graph of template {name} has more than {MAX_GRAPH_BYTES} bytes; name a smaller one"
        )
    return WarmUp(_pool(profile, namespace, models, seen), graph)


def _pool(profile: HardwareProfile, namespace: str, models: Models, seen: Observed) -> Pool:
    return Pool(
        namespace=namespace,
        profile=profile.metadata.name,
        model_claims=models.claims,
        results_claim=results_claim(decide_output(namespace, None, seen), seen),
        nodes=models.nodes,
    )
