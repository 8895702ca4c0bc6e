"""GenerationSweep: many orders at once, one for each set of parameters."""

from typing import Annotated

from pydantic import Field

from comfyard.api.conditions import COMPLETE, FAILED, Conditions, is_true
from comfyard.api.generation_job import GenerationJobSpec
from comfyard.api.hardware_profile import LabelMap
from comfyard.api.meta import FreeForm, Model, ObjectMeta
from comfyard.api.workflow_template import Anything, ParameterName

MAX_JOBS = 10_000
"""Jobs of one sweep: as many objects of one kind as Kubernetes suggests for a whole cluster (KEP-95)."""

Indexes = Annotated[str, Field(max_length=40_000)]
"""Numbers of jobs as an Indexed Job writes them: "0-4,7". The longest for 10,000, two of every three, has 33 kB."""


class JobMeta(Model):
    """What the jobs carry besides the sweep's own label and annotation."""

    labels: LabelMap = Field(default_factory=dict)
    annotations: LabelMap = Field(default_factory=dict)


class JobTemplate(Model):
    """The job that is made for every set of parameters."""

    metadata: JobMeta = Field(default_factory=JobMeta)
    spec: GenerationJobSpec = Field(description="Its parameters are those that all jobs share.")


class Axis(Model):
    """A parameter and the values that it goes through."""

    parameter: ParameterName
    values: Annotated[
        list[Anything], Field(min_length=1, max_length=MAX_JOBS, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ]


class GenerationSweepSpec(Model):
    """The jobs of a sweep. Immutable, except suspend, parallelism and maxFailures."""

    job_template: JobTemplate
    matrix: (
        Annotated[
            list[Axis],
            Field(
                min_length=1,
                max_length=16,
                json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["parameter"]},
            ),
        ]
        | None
    ) = Field(None, description="One job for each combination of values; the first parameter changes slowest.")
    sets: (
        Annotated[
            list[FreeForm],
            Field(min_length=1, max_length=MAX_JOBS, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = Field(None, description="One job for each, with these parameters.")
    parallelism: Annotated[int, Field(ge=1, le=MAX_JOBS)] = Field(
        10, description="Unfinished jobs at one time, those that wait for a server included."
    )
    max_failures: Annotated[int, Field(ge=0, le=MAX_JOBS)] | None = Field(
        None, description="More failed jobs than this end the sweep; unset: all jobs are run, whatever fails."
    )
    suspend: bool = Field(default=False, description="True suspends the jobs that are not finished and makes no more.")


class GenerationSweepStatus(Model):
    """How far the sweep is. Jobs that have ended are counted here for good: they may be deleted."""

    observed_generation: int = -1
    conditions: Conditions = Field(default_factory=list)
    message: Annotated[str, Field(max_length=4096)] = ""
    total: Annotated[int, Field(ge=0)] = 0
    pending: Annotated[int, Field(ge=0)] = Field(0, description="Jobs that are not made yet.")
    active: Annotated[int, Field(ge=0)] = Field(0, description="Jobs that are there and not finished.")
    succeeded: Annotated[int, Field(ge=0)] = 0
    failed: Annotated[int, Field(ge=0)] = 0
    completed_indexes: Indexes = Field("", description='Jobs that are Complete, such as "0-4,7".')
    failed_indexes: Indexes = Field("", description="Jobs that have Failed, likewise.")
    digest: Annotated[str, Field(max_length=80)] = Field("", description="Names the parameters of all jobs.")
    start_time: Annotated[str, Field(max_length=64)] | None = None
    completion_time: Annotated[str, Field(max_length=64)] | None = None


class GenerationSweep(Model):
    """Many orders at once: one GenerationJob for each set of parameters, counted in status, deleted with the sweep."""

    metadata: ObjectMeta
    spec: GenerationSweepSpec
    status: GenerationSweepStatus = Field(default_factory=GenerationSweepStatus)

    def is_finished(self) -> bool:
        """Whether all jobs have ended, or too many have failed. That never changes again."""
        return is_true(self.status.conditions, COMPLETE) or is_true(self.status.conditions, FAILED)
