"""What the servers of profiles are warmed up with, as templates and bundles are now."""

from collections.abc import Iterable

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import ANNOTATION_OUTPUT
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller.job_observed import Observed
from comfyard.controller.trouble import Trouble
from comfyard.controller.warm_up import plan_warm_up
from comfyard.kube.kinds import (
    HARDWARE_PROFILE,
    MODEL_BUNDLE,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    WORKFLOW_TEMPLATE,
    name_of,
)
from comfyard.runtime.context import SCHEDULER, Context, Task
from comfyard.runtime.templates import accepted_template


def look_at_warm_up(ctx: Context, profile: HardwareProfile) -> Trouble | None:
    """Find out what a profile's servers are warmed up with; returns why they are not."""
    wanted, name = profile.spec.pool.warm_up, profile.metadata.name
    found = plan_warm_up(profile, _observe(ctx, wanted.namespace, wanted.template)) if wanted else None
    if found != ctx.warm_ups.get(name):
        ctx.queue.add(SCHEDULER)  # minServers may start now
    if found:
        ctx.warm_ups[name] = found
    else:
        ctx.warm_ups.pop(name, None)
    return found if isinstance(found, Trouble) else None


def warmed_up_in(ctx: Context, namespace: str) -> Iterable[Task]:
    """The profiles whose servers are warmed up with what is in a namespace."""
    for name, profile in ctx.cache.read_all(HardwareProfile, HARDWARE_PROFILE).items():
        warm_up = profile.spec.pool.warm_up
        if warm_up and warm_up.namespace == namespace:
            yield Task(HARDWARE_PROFILE.kind, "", name)


def _observe(ctx: Context, namespace: str, template: str) -> Observed:
    cache = ctx.cache
    about = cache.get(NAMESPACE, "", namespace)
    accepted = accepted_template(ctx, namespace, template)
    return Observed(
        template=accepted,
        templates=[name_of(obj) for obj in cache.select(WORKFLOW_TEMPLATE, namespace)],
        bundles=cache.read_all(ModelBundle, MODEL_BUNDLE, namespace),
        profiles={},
        content=accepted.spec if accepted and accepted.spec.graph_from is None else None,
        server=None,
        claims=frozenset(name_of(claim) for claim in cache.select(PERSISTENT_VOLUME_CLAIM, namespace)),
        results_claim=ctx.settings.results_claim,
        output_annotation=about["metadata"].get("annotations", {}).get(ANNOTATION_OUTPUT) if about else None,
    )
