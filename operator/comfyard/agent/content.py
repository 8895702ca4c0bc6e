"""From an assigned job to what must be rendered, and where its files go."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

from pydantic import ValidationError

from comfyard.agent.buckets import bucket_of
from comfyard.agent.inputs import InputFile
from comfyard.agent.report import Ended
from comfyard.agent.settings import Settings
from comfyard.api.generation_job import GenerationJob
from comfyard.api.output import OutputStore
from comfyard.api.workflow_template import FileType, WorkflowTemplateSpec
from comfyard.kube.errors import NotFoundError
from comfyard.kube.kinds import CONTROLLER_REVISION
from comfyard.kube.protocol import KubeClient
from comfyard.kube.secrets import SecretError
from comfyard.outputs.claim import ClaimStore
from comfyard.outputs.s3 import S3Store
from comfyard.outputs.store import ResultStore
from comfyard.workflow.parameters import FILE_TYPES
from comfyard.workflow.prompts import Prompt, build_prompts, prompt_id

_REMEMBERED = 32
"""Templates of which the content is kept; a revision never changes."""


class EndedError(Exception):
    """The assignment ends here, and why."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.message)
        self.ended = ended


def prompt_ids(job: GenerationJob) -> list[str]:
    """Ids of everything that ComfyUI may have of a job's present attempt."""
    return [prompt_id(job.metadata.uid, len(job.status.attempts), index) for index in range(job.spec.count)]


def prompts_of(job: GenerationJob, spec: WorkflowTemplateSpec, files: Sequence[InputFile]) -> list[Prompt]:
    """The prompts of all indexes of a job."""
    return build_prompts(
        spec,
        {**(job.status.parameters or {}), **{file.parameter: file.name for file in files}},
        int(job.status.seed or 0),
        uid=job.metadata.uid,
        attempt=len(job.status.attempts),
        count=job.spec.count,
    )


def file_types(spec: WorkflowTemplateSpec) -> dict[str, FileType]:
    """What each parameter takes whose value is a file."""
    return {p.name: cast("FileType", p.type) for p in spec.parameters if p.type in FILE_TYPES}


class Contents:
    """Reads what a job needs from the API server. Raises EndedError for what will not come, ApiError otherwise."""

    def __init__(self, client: KubeClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._specs: OrderedDict[tuple[str, str], WorkflowTemplateSpec] = OrderedDict()

    async def template(self, job: GenerationJob) -> WorkflowTemplateSpec:
        """The content of the template that the job was accepted with."""
        name = job.status.template.revision if job.status.template else ""
        key = (name, job.status.template.digest if job.status.template else "")
        if key not in self._specs:
            try:
                obj = await self._client.get(CONTROLLER_REVISION, name, self._settings.namespace)
                self._specs[key] = WorkflowTemplateSpec.model_validate(obj["data"]["spec"])
            except NotFoundError as error:
                message = f"the accepted content of the template, ControllerRevision {name}, was deleted; order again"
                raise EndedError(Ended("Invalid", message)) from error
            except (ValidationError, KeyError, TypeError) as error:
                message = f"ControllerRevision {name} holds no template; order again"
                raise EndedError(Ended("Invalid", message)) from error
        self._specs.move_to_end(key)
        while len(self._specs) > _REMEMBERED:
            self._specs.popitem(last=False)
        return self._specs[key]

    async def store(self, job: GenerationJob) -> ResultStore:
        """Where the job's files go."""
        output = job.status.output or OutputStore()
        if output.s3:
            try:
                where = "status.output.s3"
                return S3Store(await bucket_of(self._client, self._settings.namespace, output.s3, where))
            except SecretError as error:
                raise EndedError(Ended("OutputFailed", str(error))) from error
        if not self._settings.results_claim:
            message = "this server has no claim for results; name an output in the job, or set the operator's default"
            raise EndedError(Ended("OutputFailed", message))
        path = output.claim.path if output.claim else ""
        return ClaimStore(self._settings.results_directory, self._settings.results_claim, path)
