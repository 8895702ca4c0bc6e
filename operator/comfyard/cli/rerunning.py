"""What it takes to render the same again, from the receipt of a job. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from comfyard.api.generation_job import GenerationJob, Receipt, ReceiptModel, ReceiptNode
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.model_bundle import ModelStatus
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.cli.session import UsageError

_DIGEST = "@sha256:"
_ABSENT = "nothing"


def receipt_of(job: GenerationJob) -> Receipt:
    """The receipt of a finished job. Raises UsageError when there is none."""
    if not job.is_finished():
        raise UsageError(f"job {job.metadata.name} is {job.status.state}, not finished; wait for it, or order another")
    if job.status.receipt is None:
        raise UsageError(f"job {job.metadata.name} has no receipt: it was given to no server; order with comfyard run")
    return job.status.receipt


def profile_of(job: GenerationJob) -> str:
    """The profile that the job ran on last."""
    attempts = job.status.attempts
    return (attempts[-1].profile if attempts else "") or job.spec.profiles[0]


def same_order(job: GenerationJob, content: WorkflowTemplateSpec) -> dict[str, Any]:
    """The spec of a job that renders the same: all that was drawn, filled in or chosen for the first is given.

    Args:
        job: The first job.
        content: Of its template.
    """
    seeds = {p.name: job.status.seed for p in content.parameters if p.type == "Seed" and job.status.seed is not None}
    digests = {each.parameter: each.sha256 for each in job.status.receipt.inputs} if job.status.receipt else {}
    spec = job.spec.to_api()
    del spec["suspend"]
    return {
        **spec,
        "profiles": list(dict.fromkeys([profile_of(job), *job.spec.profiles])),
        "parameters": {**(job.status.parameters or {}), **seeds},
        "inputs": [
            {**each.to_api(), **({"sha256": digests[each.parameter]} if each.parameter in digests else {})}
            for each in job.spec.inputs
        ],
        **({"output": job.status.output.to_api()} if job.status.output else {}),
    }


def check_template(job: GenerationJob, receipt: Receipt, template: WorkflowTemplate) -> None:
    """Whether the template has the content that the job was accepted with. Raises UsageError."""
    name, status = template.metadata.name, template.status
    if status.observed_generation != template.metadata.generation:
        raise UsageError(f"template {name} is being checked; try again")
    if status.digest == receipt.template:
        return
    kept = job.status.template.revision if job.status.template else ""
    raise UsageError(
        f"template {name} has changed since: its digest was {receipt.template} and is {status.digest}. Apply it as it "
        f"was (kubectl -n {job.metadata.namespace} get controllerrevision {kept} -o jsonpath='{{.data.spec}}' shows "
        "that, as long as it is kept), or order from it as it is with --latest"
    )


def model_differences(
    was: Iterable[ReceiptModel], now: Iterable[ReceiptModel] | Iterable[ModelStatus]
) -> Iterator[str]:
    """Model files that are not what they were."""
    return _differences(*({each.path: f"sha256 {each.sha256}" for each in side} for side in (was, now)))


def node_differences(was: Iterable[ReceiptNode], now: Iterable[ReceiptNode]) -> Iterator[str]:
    """Custom nodes that are not what they were."""
    return _differences(
        *({f"custom node {each.name}": f"commit {each.commit}" for each in side} for side in (was, now))
    )


def _differences(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for key in sorted({*was, *now}):
        if was.get(key) != now.get(key):
            yield f"{key} was {was.get(key, _ABSENT)} and is {now.get(key, _ABSENT)}"


def image_difference(receipt: Receipt, profile: HardwareProfile) -> Iterator[str]:
    """Whether the profile names another image than that which rendered. A tag does not tell; the new receipt will."""
    was, now = receipt.server.image if receipt.server else "", profile.spec.server.image
    if _DIGEST in was and _DIGEST in now and was.partition(_DIGEST)[2] != now.partition(_DIGEST)[2]:
        yield f"the server's image was {was} and is {now}"


def receipt_differences(was: Receipt, now: Receipt) -> Iterator[str]:
    """All in which two receipts differ, of what both tell."""
    yield from model_differences(was.models, now.models)
    yield from node_differences(was.nodes, now.nodes)
    yield from _differences(
        *({f"input {i.parameter}": f"sha256 {i.sha256}" for i in side.inputs} for side in (was, now))
    )
    before, after = _told(was), _told(now)
    both = [key for key in before if before[key] and after.get(key)]
    yield from _differences({key: before[key] for key in both}, {key: after[key] for key in both})


def _told(receipt: Receipt) -> dict[str, str]:
    told = {"the template's digest": receipt.template, "the graphs' digest": receipt.graph}
    if server := receipt.server:
        told |= {"the server's image": server.image, "ComfyUI": server.comfyui, "the GPU": server.gpu}
    return told


def file_differences(was: GenerationJob, now: GenerationJob) -> list[str]:
    """Files of two jobs that are not the same, by the names that both give them; empty when all are."""
    before, after = _digests(was), _digests(now)
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def embeds(job: GenerationJob) -> bool:
    """Whether ComfyUI's graph stays in the job's files. The folder of ComfyUI that they were saved to is part of it."""
    return job.status.output is None or job.status.output.metadata != "Strip"


def _digests(job: GenerationJob) -> Mapping[str, str]:
    return {result.uri.rpartition("/")[2]: result.sha256 for result in job.status.outputs}
