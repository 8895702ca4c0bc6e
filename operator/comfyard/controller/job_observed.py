"""What a decision about one job is made from, and the two ways of not going on with it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from comfyard.api.generation_job import GenerationJob
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.controller.pools import Server
from comfyard.controller.trouble import Trouble
from comfyard.workflow.object_info import Knowledge


@dataclass(frozen=True)
class Observed:
    """What is seen around one job; of its own namespace, by name.

    Attributes:
        template: As it is now.
        templates: Names of all there are.
        content: What the job was accepted with; before that, what the template would have it accepted with.
        server: The server of the job's assignment, if it is still there.
        last_server: Likewise of its last attempt.
        last_end: When the last attempt of any job on the server of its assignment ended.
        claims: Names of the claims that are there.
        results_claim: The operator's default for results; it need not be there yet.
        jobs: The jobs that it takes inputs from, those that these take inputs from, and so on.
        awaited: Whether another job, not finished, takes an input from it.
        output_annotation: The namespace's default for results, as its owner wrote it.
        node_reports: What servers have told of their node classes, by the report's name.
        namespace_labels: Of the job's namespace.
        broken: Pools of the namespace whose servers cannot start, by the pool's name: why.
    """

    template: WorkflowTemplate | None
    templates: Collection[str]
    bundles: Mapping[str, ModelBundle]
    profiles: Mapping[str, HardwareProfile]
    content: WorkflowTemplateSpec | None
    server: Server | None
    claims: Collection[str]
    results_claim: str
    last_server: Server | None = None
    last_end: datetime | None = None
    jobs: Mapping[str, GenerationJob] = field(default_factory=dict)
    awaited: bool = False
    output_annotation: str | None = None
    node_reports: Mapping[str, Knowledge] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, Trouble] = field(default_factory=dict)


class Wait(Exception):  # noqa: N818 - not an error, a reason to stop deciding
    """Something is missing that may still come.

    Attributes:
        reason: One word in CamelCase, for the condition.
        message: What is missing, and what a person can do about it.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Wrong(Wait):
    """Nothing that may still come can make it right."""
