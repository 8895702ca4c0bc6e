"""`comfyard run`: order from a template, and follow the job until its files are there."""

from collections.abc import Sequence
from dataclasses import dataclass

from comfyard.api.conditions import STALLED, is_true
from comfyard.api.workflow_template import WorkflowTemplate
from comfyard.cli.ordering import check_order, choose_profiles, typed_inputs, typed_values
from comfyard.cli.orders import Then, attend, build_job, create
from comfyard.cli.session import UsageError, connect, execute
from comfyard.controller.job_acceptance import ready_template
from comfyard.controller.job_observed import Wait
from comfyard.kube.client import LightkubeClient
from comfyard.kube.errors import ForbiddenError, NotFoundError
from comfyard.kube.kinds import HARDWARE_PROFILE, WORKFLOW_TEMPLATE, Obj, name_of


@dataclass(frozen=True)
class Order:
    """What was typed.

    Attributes:
        template: Its name.
        parameters: NAME=VALUE or NAME=@FILE.
        inputs: NAME=FORM.
        profiles: None: the only one there is.
        count: So many images.
        name: Of the job; empty: made from the template's.
        namespace: Empty: that of kubectl's context.
    """

    template: str
    parameters: Sequence[str] = ()
    inputs: Sequence[str] = ()
    profiles: Sequence[str] = ()
    count: int = 1
    name: str = ""
    namespace: str = ""


def run(order: Order, then: Then) -> int:
    """Order, and see to it that it is done. Returns the exit code: 0 done, 1 failed, 2 wrongly ordered."""
    return execute(_run(order, then))


async def _run(order: Order, then: Then) -> int:
    async with connect() as client:
        job = await _job(client, order, order.namespace or client.namespace)
        await attend(client, await create(client, job), then)
    return 0


async def _job(client: LightkubeClient, order: Order, namespace: str) -> Obj:
    template = await get_template(client, order.template, namespace)
    values = typed_values(template.spec, order.parameters)
    inputs = typed_inputs(order.inputs)
    check_order(template.spec, values, inputs)
    spec = {
        "template": {"name": order.template},
        "profiles": choose_profiles(order.profiles, await _profiles(client)),
        "parameters": values,
        "inputs": [each.to_api() for each in inputs],
        "count": order.count,
    }
    return build_job(namespace, order.name, order.template, spec)


async def get_template(client: LightkubeClient, name: str, namespace: str) -> WorkflowTemplate:
    """A template that can be ordered from, be it later. Raises UsageError when it is not there, or wrong for good."""
    try:
        template = WorkflowTemplate.model_validate(await client.get(WORKFLOW_TEMPLATE, name, namespace))
        templates = [name]
    except NotFoundError:
        template = None
        templates = [name_of(each) for each in (await client.list(WORKFLOW_TEMPLATE, namespace)).items]
    try:
        return ready_template(name, namespace, template, templates)
    except Wait as wait:
        if template is None or _is_wrong(template):
            raise UsageError(wait.message) from wait
        return template  # the job will wait for it


def _is_wrong(template: WorkflowTemplate) -> bool:
    observed = template.status.observed_generation == template.metadata.generation
    return observed and is_true(template.status.conditions, STALLED)


async def _profiles(client: LightkubeClient) -> list[str] | None:
    """Names of all profiles; None when they may not be listed, as they are the cluster's and not the namespace's."""
    try:
        return [name_of(profile) for profile in (await client.list(HARDWARE_PROFILE)).items]
    except ForbiddenError:
        return None
