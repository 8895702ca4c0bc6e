"""`comfyard rerun`: a new job that renders what a finished one has rendered."""

from dataclasses import dataclass

from rich.text import Text

from comfyard.api.generation_job import GenerationJob, Receipt
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import ANNOTATION_RERUN_OF
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.cli.ordering import check_order
from comfyard.cli.orders import Then, attend, build_job, create
from comfyard.cli.rerunning import (
    check_template,
    embeds,
    file_differences,
    image_difference,
    model_differences,
    node_differences,
    profile_of,
    receipt_differences,
    receipt_of,
    same_order,
)
from comfyard.cli.results import get_job
from comfyard.cli.run import get_template
from comfyard.cli.session import CommandError, UsageError, connect, execute, warn
from comfyard.controller.job_models import Models, models_for
from comfyard.controller.job_observed import Observed, Wait
from comfyard.kube.client import LightkubeClient
from comfyard.kube.errors import NotFoundError
from comfyard.kube.kinds import CONTROLLER_REVISION, HARDWARE_PROFILE, MODEL_BUNDLE, name_of


@dataclass(frozen=True)
class Again:
    """What was typed.

    Attributes:
        job: The finished one.
        name: Of the new one; empty: made from that of the first.
        namespace: Empty: that of kubectl's context.
        latest: From the template as it is now.
        force: With the models and custom nodes that are there now.
    """

    job: str
    name: str = ""
    namespace: str = ""
    latest: bool = False
    force: bool = False


def rerun(again: Again, then: Then) -> int:
    """Order the same again. Returns the exit code: 0 done, 1 failed, 2 it would not be the same."""
    return execute(_rerun(again, then))


async def _rerun(again: Again, then: Then) -> int:
    async with connect() as client:
        namespace = again.namespace or client.namespace
        first = await get_job(client, again.job, namespace)
        receipt = receipt_of(first)
        template = await get_template(client, first.spec.template.name, namespace)
        if not again.latest:
            check_template(first, receipt, template)
        content = await _content(client, template)
        spec = same_order(first, content)
        check_order(content, spec["parameters"], first.spec.inputs)
        await _check_server(client, first, receipt, content, force=again.force)
        job = build_job(namespace, again.name, first.metadata.name, spec)
        job["metadata"]["annotations"] = {ANNOTATION_RERUN_OF: first.metadata.name}
        second = await attend(client, await create(client, job), then)
    if then.wait:
        _compare(first, receipt, second, then)
    return 0


async def _content(client: LightkubeClient, template: WorkflowTemplate) -> WorkflowTemplateSpec:
    """What the template is at present, its graph in place wherever that is kept."""
    revision = template.status.revision
    try:
        kept = await client.get(CONTROLLER_REVISION, revision, template.metadata.namespace)
    except NotFoundError as error:
        message = f"template {template.metadata.name} was not accepted yet: there is no ControllerRevision {revision}"
        raise UsageError(f"{message}; see kubectl describe workflowtemplates.comfyard.io") from error
    return WorkflowTemplateSpec.model_validate(kept["data"]["spec"])


async def _check_server(
    client: LightkubeClient, first: GenerationJob, receipt: Receipt, content: WorkflowTemplateSpec, *, force: bool
) -> None:
    """Whether models and custom nodes are what they were on the job's profile. Raises UsageError, unless forced."""
    name = profile_of(first)
    try:
        profile = HardwareProfile.model_validate(await client.get(HARDWARE_PROFILE, name))
    except NotFoundError as error:
        message = f'hardwareprofiles.comfyard.io "{name}", which the job ran on, does not exist'
        raise UsageError(f"{message}; create it, or order with comfyard run and another --profile") from error
    now = await _models(client, first, content, profile)
    changed = [*model_differences(receipt.models, now.used), *node_differences(receipt.nodes, now.packages)]
    if changed and not force:
        raise UsageError(
            f"{'; '.join(changed)}: the bundles have changed since job {first.metadata.name}. Apply them as they were, "
            "or order with what is there with --force"
        )
    for each in (*changed, *image_difference(receipt, profile)):
        warn(each)


async def _models(
    client: LightkubeClient, first: GenerationJob, content: WorkflowTemplateSpec, profile: HardwareProfile
) -> Models:
    """What the operator would give the job today."""
    bundles = (await client.list(MODEL_BUNDLE, first.metadata.namespace)).items
    seen = Observed(
        template=None,
        templates=(),
        bundles={name_of(bundle): ModelBundle.model_validate(bundle) for bundle in bundles},
        profiles={profile.metadata.name: profile},
        content=content,
        server=None,
        claims=frozenset(),
        results_claim="",
    )
    try:
        return models_for(content, first.status.parameters or {}, profile, seen)
    except Wait as wait:
        raise CommandError(wait.message) from wait


def _compare(first: GenerationJob, receipt: Receipt, second: GenerationJob, then: Then) -> None:
    """Tell in what the new job differs, now that it has a receipt of its own."""
    for each in receipt_differences(receipt, second.status.receipt) if second.status.receipt else ():
        warn(each)
    different = file_differences(first, second)
    if not different:
        then.console.print("the files are the same as before, byte for byte")
    elif embeds(second):
        said = "files with the graph embedded (output.metadata: Embed) name their own job in it and so always differ"
        then.console.print(Text(f"{said}: {', '.join(different)}"), soft_wrap=True)
    else:
        warn(f"not the same as those of job {first.metadata.name}: {', '.join(different)}")
