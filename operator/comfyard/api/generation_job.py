"""GenerationJob: one order, run once.

Where the agent of a server finds the files of spec.inputs:

- url, s3: it fetches them. It may read the Secrets that spec.inputs names, by name.
- claim: mounted read-only in the agent's container at $COMFYARD_INPUTS_DIRECTORY/<claim's name>.
- job: the agent reads that job by its name, as it may read all jobs of its namespace. The operator assigns a job only
  when the jobs that it takes inputs from are Complete and list what it wants, so that the file is the first entry of
  their status.outputs with that name and index. Its uri tells the rest: claim://NAME/PATH lies at
  $COMFYARD_INPUTS_DIRECTORY/NAME/PATH, read-only like a claim that spec.inputs names itself; s3://BUCKET/KEY is fetched
  from the endpoint and with the Secret of that job's status.output.s3, which the agent may read as long as this job is
  not finished. A job that is gone or lists it no more, as after a deletion at the wrong moment, is InputFailed.
"""

from typing import Annotated, Literal

from pydantic import Field

from comfyard.api.conditions import COMPLETE, FAILED, Conditions, is_true
from comfyard.api.meta import HTTP_URL, FreeForm, Model, Name, ObjectMeta, Sha256, Text
from comfyard.api.model_bundle import ClaimSource, ModelPath, SourcePath
from comfyard.api.output import OutputStore, S3Bucket
from comfyard.api.workflow_template import ParameterName

State = Literal["Pending", "Queued", "Assigned", "Running", "Suspended", "Complete", "Failed"]
"""For people and selectors only; the conditions are the truth it is derived from."""

FailureClass = Literal[
    "Invalid",
    "NodeError",
    "OutOfVRAM",
    "ServerStuck",
    "ServerLost",
    "InputFailed",
    "OutputFailed",
    "DeadlineExceeded",
]


MOST_ATTEMPTS = 64
"""That a status tells of. All count: which prompt of ComfyUI is whose follows from their number."""


class TemplateReference(Model):
    """A workflowtemplates.comfyard.io of the same namespace."""

    name: Name


class S3Input(S3Bucket):
    """An object of a bucket."""

    key: SourcePath


class JobOutput(Model):
    """A result of another job of the namespace, which is waited for."""

    name: Name
    output: Annotated[str, Field(min_length=1, max_length=63)] = Field(description="Name of the template's output.")
    index: Annotated[int, Field(ge=0, le=63)] = Field(0, description="Which of its `count`.")


class JobInput(Model):
    """The file of one parameter, from exactly one of url, s3, claim and job."""

    parameter: ParameterName
    url: Annotated[str, Field(min_length=8, max_length=2048, pattern=HTTP_URL)] | None = None
    s3: S3Input | None = None
    claim: ClaimSource | None = Field(None, description="A file on a PersistentVolumeClaim of the namespace.")
    job: JobOutput | None = None
    sha256: Sha256 | None = Field(None, description="What the file must be.")


class GenerationJobSpec(Model):
    """One order. Immutable, except suspend, priority, deadline and ttl: to run again, create another."""

    template: TemplateReference
    profiles: Annotated[
        list[Name], Field(min_length=1, max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(description="HardwareProfiles, tried in order; the next one when VRAM runs out.")
    parameters: FreeForm = Field(default_factory=dict, description="Values of the template's parameters.")
    inputs: Annotated[
        list[JobInput],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["parameter"]},
        ),
    ] = Field(default_factory=list, description="Files for parameters of type Image, Mask, Video and Audio.")
    count: Annotated[int, Field(ge=1, le=64)] = Field(1, description="So many images, each with its own seed.")
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(0, description="Higher goes first.")
    suspend: bool = Field(default=False, description="True stops the job and gives its GPU back.")
    backoff_limit: Annotated[int, Field(ge=0, le=16)] = Field(2, description="Failures that are tried again.")
    active_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = Field(
        None,
        description="Seconds after its first assignment when the job fails, whatever it is doing. "
        "As with a Job of Kubernetes, time begins anew after a suspension.",
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = Field(
        None,
        description="Seconds after its end when the job is deleted, later if another job still takes an input from it. "
        "Do not set it on jobs in Git: they run again.",
    )
    output: OutputStore | None = Field(
        None, description="Where results go; default from the template, the namespace, the operator."
    )


class TemplateRevision(Model):
    """The content of the template that the job was accepted with."""

    revision: Annotated[str, Field(max_length=253)]
    digest: Annotated[str, Field(max_length=80)]


class Assignment(Model):
    """The server that may work on the job and write its status, and since when."""

    id: Annotated[str, Field(max_length=36)]
    server: Annotated[str, Field(max_length=253)]
    profile: Annotated[str, Field(max_length=253)] = ""
    time: Annotated[str, Field(max_length=64)]


class Attempt(Model):
    """An assignment that has ended."""

    id: Annotated[str, Field(max_length=36)]
    server: Annotated[str, Field(max_length=253)]
    profile: Annotated[str, Field(max_length=253)] = ""
    start: Annotated[str, Field(max_length=64)]
    end: Annotated[str, Field(max_length=64)]
    outcome: Literal["Succeeded", "Failed", "Stopped"]
    failure_class: FailureClass | None = Field(None, alias="class")
    reason: Literal["OOMKilled"] | None = Field(
        None, description="More of the class: OOMKilled, a ServerLost that counts, as the job took too much memory."
    )
    message: Text = ""


class Progress(Model):
    """How far the rendering is; written at most every 5 s."""

    percent: Annotated[int, Field(ge=0, le=100)] = 0
    node: Annotated[str, Field(max_length=253)] = ""
    step: Annotated[int, Field(ge=0)] = 0
    steps: Annotated[int, Field(ge=0)] = 0


class Result(Model):
    """One stored file."""

    name: Annotated[str, Field(max_length=63)]
    index: Annotated[int, Field(ge=0)] = Field(description="Which of `count`; its seed is status.seed + index.")
    uri: Annotated[str, Field(max_length=2048)]
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]
    content_type: Annotated[str, Field(max_length=128)]
    width: Annotated[int, Field(ge=0)] | None = None
    height: Annotated[int, Field(ge=0)] | None = None


class Usage(Model):
    """What the job cost."""

    gpu_seconds: Annotated[int, Field(ge=0)] = Field(
        0, description="Seconds with a server times GPUs, all attempts; not while another job had its turn there."
    )
    queued_seconds: Annotated[int, Field(ge=0)] = Field(0, description="From creation to the first assignment.")


class ReceiptModel(Model):
    """A model file that was used."""

    path: ModelPath
    sha256: Sha256


class ReceiptInput(Model):
    """A file that was used as an input."""

    parameter: Annotated[str, Field(max_length=63)]
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


class ReceiptNode(Model):
    """A package of custom nodes that was loaded."""

    name: Annotated[str, Field(max_length=63)]
    commit: Annotated[str, Field(max_length=40)]
    tree: Annotated[str, Field(max_length=40)] = ""


class ReceiptServer(Model):
    """What rendered."""

    image: Annotated[str, Field(max_length=512)] = Field("", description="By digest, as kubelet resolved it.")
    comfyui: Annotated[str, Field(max_length=64)] = Field("", description="Version.")
    gpu: Annotated[str, Field(max_length=128)] = Field("", description="As ComfyUI names the device.")


class Receipt(Model):
    """What made the files: the same again makes the same files, as far as ComfyUI does.

    The operator writes what it assigns with (template, models, nodes); the agent adds the rest when it completes.
    """

    template: Annotated[str, Field(max_length=80)] = Field(description="Digest of the accepted template.")
    graph: Annotated[str, Field(max_length=80)] = Field(
        "", description="Digest of the graphs as rendered, values in place, file name prefixes aside."
    )
    models: Annotated[
        list[ReceiptModel], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list)
    inputs: Annotated[
        list[ReceiptInput], Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list)
    nodes: Annotated[
        list[ReceiptNode], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list)
    server: ReceiptServer | None = None
    outputs_reused: bool = Field(
        default=False, description="ComfyUI had all of it in its cache and rendered nothing anew."
    )


class GenerationJobStatus(Model):
    """The operator accepts, assigns and ends; the agent that holds the assignment reports the work."""

    observed_generation: int = -1
    conditions: Conditions = Field(default_factory=list)
    state: State = "Pending"
    message: Annotated[str, Field(max_length=4096)] = ""
    template: TemplateRevision | None = None
    assignment: Assignment | None = None
    attempts: Annotated[
        list[Attempt], Field(max_length=MOST_ATTEMPTS, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list)
    progress: Progress | None = None
    seed: Annotated[str, Field(max_length=20)] | None = Field(
        None, description="Of index 0, as a string: it may exceed int64."
    )
    parameters: FreeForm | None = Field(None, description="The values that are rendered, defaults included.")
    output: OutputStore | None = Field(None, description="Where results go, as decided when the job was accepted.")
    start_time: Annotated[str, Field(max_length=64)] | None = None
    completion_time: Annotated[str, Field(max_length=64)] | None = None
    outputs: Annotated[list[Result], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = (
        Field(default_factory=list)
    )
    usage: Usage | None = None
    receipt: Receipt | None = None


class GenerationJob(Model):
    """One order: a template, parameters, profiles; run exactly once, files stored, everything in status."""

    metadata: ObjectMeta
    spec: GenerationJobSpec
    status: GenerationJobStatus = Field(default_factory=GenerationJobStatus)

    def is_finished(self) -> bool:
        """Whether the job is Complete or Failed. That never changes again."""
        return is_true(self.status.conditions, COMPLETE) or is_true(self.status.conditions, FAILED)
