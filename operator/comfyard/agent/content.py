"""From an assigned job to what must be rendered, and where its files go."""

import base64
import binascii
from collections import OrderedDict
from urllib.parse import urlsplit

from pydantic import ValidationError

from comfyard.agent.report import Ended
from comfyard.agent.settings import Settings
from comfyard.api.generation_job import GenerationJob, S3Output
from comfyard.api.meta import ANNOTATION_HOSTS
from comfyard.api.s3 import endpoint_of
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.kube.errors import ForbiddenError, NotFoundError
from comfyard.kube.kinds import CONTROLLER_REVISION, SECRET, Obj
from comfyard.kube.protocol import KubeClient
from comfyard.outputs.claim import ClaimStore
from comfyard.outputs.s3 import Bucket, S3Store
from comfyard.outputs.store import ResultStore
from comfyard.workflow.prompts import Prompt, build_prompts, prompt_id

_REMEMBERED = 32
"""Templates of which the content is kept; a revision never changes."""

_ACCESS_KEY = "AWS_ACCESS_KEY_ID"
_SECRET_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a key


class EndedError(Exception):
    """The assignment ends here, and why."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.message)
        self.ended = ended


def prompt_ids(job: GenerationJob) -> list[str]:
    """Ids of everything that ComfyUI may have of a job's present attempt."""
    return [prompt_id(job.metadata.uid, len(job.status.attempts), index) for index in range(job.spec.count)]


class Contents:
    """Reads what a job needs from the API server. Raises EndedError for what will not come, ApiError otherwise."""

    def __init__(self, client: KubeClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._specs: OrderedDict[tuple[str, str], WorkflowTemplateSpec] = OrderedDict()

    async def prompts(self, job: GenerationJob) -> list[Prompt]:
        """The prompts of a job without those indexes whose files are recorded already."""
        spec = await self._spec(job)
        prompts = build_prompts(
            spec,
            job.status.parameters or {},
            int(job.status.seed or 0),
            uid=job.metadata.uid,
            attempt=len(job.status.attempts),
            count=job.spec.count,
        )
        stored = {result.index for result in job.status.outputs}
        return [prompt for prompt in prompts if prompt.index not in stored]

    async def _spec(self, job: GenerationJob) -> WorkflowTemplateSpec:
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
        output = job.spec.output
        if output.s3:
            return await self._bucket(output.s3)
        if not self._settings.results_claim:
            message = "this server has no claim for results; name an output in the job, or set the operator's default"
            raise EndedError(Ended("OutputFailed", message))
        path = output.claim.path if output.claim else ""
        return ClaimStore(self._settings.results_directory, self._settings.results_claim, path)

    async def _bucket(self, output: S3Output) -> ResultStore:
        name = output.secret_ref.name
        try:
            secret = await self._client.get(SECRET, name, self._settings.namespace)
        except NotFoundError as error:
            message = f'Secret "{name}" (spec.output.s3.secretRef) does not exist; create it'
            raise EndedError(Ended("OutputFailed", message)) from error
        except ForbiddenError as error:
            message = f'the agent may not read Secret "{name}" (spec.output.s3.secretRef): {error}'
            raise EndedError(Ended("OutputFailed", message)) from error
        endpoint = endpoint_of(output.endpoint, output.region)
        refusal = refuse_host(secret, endpoint)
        if refusal:
            raise EndedError(Ended("OutputFailed", refusal))
        bucket = Bucket(
            name=output.bucket,
            prefix=output.prefix,
            endpoint=output.endpoint,
            region=output.region,
            access_key=_key(secret, _ACCESS_KEY),
            secret_key=_key(secret, _SECRET_KEY),
        )
        return S3Store(bucket)


def refuse_host(secret: Obj, endpoint: str) -> str:
    """Why a Secret may not go to an endpoint; empty when it may. Its owner says so, not who names it in a job."""
    parts = urlsplit(endpoint)
    annotation = (secret["metadata"].get("annotations") or {}).get(ANNOTATION_HOSTS, "")
    allowed = {host.strip().lower() for host in annotation.split(",")} - {""}
    if allowed & {parts.netloc.lower(), (parts.hostname or "").lower()}:
        return ""
    there = ", ".join(sorted(allowed)) or "no host"
    return (
        f'Secret "{secret["metadata"]["name"]}" may not be sent to {parts.netloc}: its annotation {ANNOTATION_HOSTS} '
        f"lists {there}; its owner can add it"
    )


def _key(secret: Obj, key: str) -> str:
    try:
        return base64.b64decode(secret["data"][key], validate=True).decode().strip()
    except (KeyError, TypeError, binascii.Error, UnicodeDecodeError) as error:
        message = f'Secret "{secret["metadata"]["name"]}" has no usable key {key}; add it'
        raise EndedError(Ended("OutputFailed", message)) from error
