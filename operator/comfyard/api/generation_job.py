"""GenerationJob: one order, run once."""

from typing import Annotated, Literal

from pydantic import Field

from comfyard.api.conditions import COMPLETE, FAILED, Conditions, is_true
from comfyard.api.meta import HTTP_ORIGIN, FreeForm, Model, Name, ObjectMeta, Sha256, Text

State = Literal["Pending", "Queued", "Assigned", "Running", "Suspended", "Complete", "Failed"]
"""For people and selectors only; the conditions are the truth it is derived from."""

FailureClass = Literal[
    "Invalid",
    "NodeError",
    "OutOfVRAM",
    "ServerStuck",
    "ServerLost",
    "OutputFailed",
]


class TemplateReference(Model):
    """A workflowtemplates.comfyard.io of the same namespace."""

    name: Name


class SecretReference(Model):
    """A Secret of the same namespace; its annotation comfyard.io/hosts must list the host it is sent to."""

    name: Name


class S3Output(Model):
    """Results to an S3 bucket."""

    bucket: Annotated[str, Field(min_length=1, max_length=255)]
    prefix: Annotated[str, Field(max_length=512)] = ""
    endpoint: Annotated[str, Field(max_length=512, pattern=HTTP_ORIGIN)] | None = Field(
        None, description="For stores other than AWS, such as http://seaweedfs:8333."
    )
    region: Annotated[str, Field(max_length=64)] = "us-east-1"
    secret_ref: SecretReference = Field(description="Keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")


class ClaimOutput(Model):
    """Results to a PersistentVolumeClaim of the namespace."""

    name: Name
    path: Annotated[
        str, Field(max_length=512, pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]*)?(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")
    ] = ""


class OutputStore(Model):
    """Where results go: one of the fields."""

    s3: S3Output | None = None
    claim: ClaimOutput | None = None


class GenerationJobSpec(Model):
    """One order. Immutable, except suspend and priority: to run again, create another."""

    template: TemplateReference
    profiles: Annotated[
        list[Name], Field(min_length=1, max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(description="HardwareProfiles, tried in order; the next one when VRAM runs out.")
    parameters: FreeForm = Field(default_factory=dict, description="Values of the template's parameters.")
    count: Annotated[int, Field(ge=1, le=64)] = Field(1, description="So many images, each with its own seed.")
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(0, description="Higher goes first.")
    suspend: bool = Field(default=False, description="True stops the job and gives its GPU back.")
    backoff_limit: Annotated[int, Field(ge=0, le=16)] = Field(2, description="Failures that are tried again.")
    output: OutputStore = Field(default_factory=OutputStore, description="Where results go; default from the operator.")


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

    gpu_seconds: Annotated[int, Field(ge=0)] = Field(0, description="Seconds of assignment times GPUs, all attempts.")
    queued_seconds: Annotated[int, Field(ge=0)] = Field(0, description="From creation to the first assignment.")


class GenerationJobStatus(Model):
    """The operator accepts, assigns and ends; the agent that holds the assignment reports the work."""

    observed_generation: int = -1
    conditions: Conditions = Field(default_factory=list)
    state: State = "Pending"
    message: Annotated[str, Field(max_length=4096)] = ""
    template: TemplateRevision | None = None
    assignment: Assignment | None = None
    attempts: Annotated[list[Attempt], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = (
        Field(default_factory=list)
    )
    progress: Progress | None = None
    seed: Annotated[str, Field(max_length=20)] | None = Field(
        None, description="Of index 0, as a string: it may exceed int64."
    )
    parameters: FreeForm | None = Field(None, description="The values that are rendered, defaults included.")
    start_time: Annotated[str, Field(max_length=64)] | None = None
    completion_time: Annotated[str, Field(max_length=64)] | None = None
    outputs: Annotated[list[Result], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = (
        Field(default_factory=list)
    )
    usage: Usage | None = None


class GenerationJob(Model):
    """One order: a template, parameters, profiles; run exactly once, files stored, everything in status."""

    metadata: ObjectMeta
    spec: GenerationJobSpec
    status: GenerationJobStatus = Field(default_factory=GenerationJobStatus)

    def is_finished(self) -> bool:
        """Whether the job is Complete or Failed. That never changes again."""
        return is_true(self.status.conditions, COMPLETE) or is_true(self.status.conditions, FAILED)
