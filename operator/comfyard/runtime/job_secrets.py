"""Which Secrets the agents of a namespace need: those that its unfinished jobs name, and no others."""

from collections.abc import Iterator, Mapping
from typing import Any

from comfyard.api.generation_job import GenerationJob
from comfyard.api.output import OutputStore
from comfyard.kube.kinds import GENERATION_JOB
from comfyard.runtime.cache import Cache, Key


def job_secrets(cache: Cache, accepted: Mapping[Key, Mapping[str, Any]], namespace: str) -> set[str]:
    """Names of the Secrets.

    Args:
        cache: For the jobs.
        accepted: Statuses that are about to be written with an assignment, by job: their agents read at once.
        namespace: Of the jobs.
    """
    found: set[str] = set()
    for (where, name), job in cache.jobs.unfinished.items():
        if where == namespace:
            decided = accepted.get((where, name), {}).get("output")
            output = OutputStore.model_validate(decided) if decided else job.status.output
            found |= {*_of_output(output), *_of_inputs(cache, job)}
    return found


def _of_output(output: OutputStore | None) -> list[str]:
    return [output.s3.secret_ref.name] if output and output.s3 else []


def _of_inputs(cache: Cache, job: GenerationJob) -> Iterator[str]:
    """What its own objects in S3 need, and those that another job has stored there."""
    for given in job.spec.inputs:
        if given.s3:
            yield given.s3.secret_ref.name
        elif given.job:
            source = cache.read(GenerationJob, GENERATION_JOB, job.metadata.namespace, given.job.name)
            yield from _of_output(source.status.output if source else None)
