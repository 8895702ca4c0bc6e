"""What is remembered of each unfinished job, so that the others need not be read to decide about one."""

from dataclasses import dataclass
from datetime import datetime

from comfyard.api.attempts import parse_time
from comfyard.api.generation_job import GenerationJob, Receipt
from comfyard.api.output import OutputStore


@dataclass(frozen=True, slots=True)
class Facts:
    """What is remembered of an unfinished job.

    Attributes:
        template: Name of its template.
        profiles: Names of its profiles.
        revision: The ControllerRevision that it was accepted with; empty before that.
        server: The one that it is assigned to; empty when there is none.
        profile: Of that server.
        since: When it was assigned.
        sources: Jobs that it takes inputs from.
        lost_with: The server that its last attempt was lost with; empty when it was not.
        secrets: Secrets that its results and its own inputs need.
    """

    template: str
    profiles: tuple[str, ...]
    revision: str
    server: str
    profile: str
    since: datetime | None
    sources: frozenset[str]
    lost_with: str
    secrets: frozenset[str]


def facts_of(job: GenerationJob) -> Facts:
    """The facts of a job."""
    status, assignment = job.status, job.status.assignment
    last = status.attempts[-1] if status.attempts else None
    own = {given.s3.secret_ref.name for given in job.spec.inputs if given.s3}
    output = status.output or job.spec.output  # until it is decided, with what the template and the namespace say
    return Facts(
        template=job.spec.template.name,
        profiles=tuple(job.spec.profiles),
        revision=status.template.revision if status.template else "",
        server=assignment.server if assignment else "",
        profile=assignment.profile if assignment else "",
        since=parse_time(assignment.time) if assignment else None,
        sources=frozenset(given.job.name for given in job.spec.inputs if given.job),
        lost_with=last.server if last and last.failure_class == "ServerLost" else "",
        secrets=frozenset(own | secrets_of(output)),
    )


def secrets_of(output: OutputStore | None) -> set[str]:
    """The Secret that a place for results needs, if it needs one."""
    return {output.s3.secret_ref.name} if output and output.s3 else set()


def digests_of(receipt: Receipt | None) -> frozenset[str]:
    """SHA-256 of the model files that a job loads, as it was assigned."""
    return frozenset(model.sha256 for model in receipt.models) if receipt else frozenset()
