"""Writes to a job's status, patiently, as long as the assignment is ours."""

import asyncio
import logging

from comfyard.agent.report import Operation
from comfyard.api.generation_job import GenerationJob
from comfyard.kube.errors import ApiError, InvalidError, NotFoundError, TestFailedError
from comfyard.kube.kinds import GENERATION_JOB
from comfyard.kube.protocol import KubeClient

log = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 5.0


class AssignmentLostError(Exception):
    """Somebody else decides about the job now; nothing more may be written."""


async def try_write(client: KubeClient, job: GenerationJob, patch: list[Operation]) -> None:
    """Write once. Raises AssignmentLostError, or ApiError."""
    try:
        await client.json_patch_status(GENERATION_JOB, job.metadata.name, job.metadata.namespace, patch)
    except (TestFailedError, NotFoundError) as error:
        raise AssignmentLostError(str(error)) from error


async def write(client: KubeClient, job: GenerationJob, patch: list[Operation]) -> None:
    """Write until it is written: results are not given up because the API server is away for a while.

    Raises:
        AssignmentLostError: It was ours no more, or this very write had come through before its answer got lost.
        InvalidError: The API server will never take it.
    """
    delay = _FIRST_DELAY_SECONDS
    while True:
        try:
            return await try_write(client, job, patch)
        except InvalidError:
            raise
        except ApiError as error:
            log.warning("cannot report on job %s, again in %g s: %s", job.metadata.name, delay, error)
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY_SECONDS)
