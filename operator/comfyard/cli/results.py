"""`comfyard results`: the files of a job, from wherever they were stored into a folder."""

from pathlib import Path

from rich.console import Console

from comfyard.api.conditions import COMPLETE, is_true
from comfyard.api.generation_job import GenerationJob
from comfyard.cli.fetching import fetch_results
from comfyard.cli.session import CommandError, UsageError, connect, execute
from comfyard.kube.client import LightkubeClient
from comfyard.kube.errors import NotFoundError
from comfyard.kube.kinds import GENERATION_JOB


def results(name: str, namespace: str, to: Path, *, force: bool) -> int:
    """Fetch the files of a job.

    Args:
        name: Of the job.
        namespace: Empty: that of kubectl's context.
        to: The folder.
        force: Replace other files of the same names.

    Returns:
        The exit code: 0 when all files of a Complete job are there.
    """
    return execute(_results(name, namespace, to, force=force))


async def _results(name: str, namespace: str, to: Path, *, force: bool) -> int:
    async with connect() as client:
        job = await get_job(client, name, namespace or client.namespace)
        await fetch_results(client, job, to, Console(), force=force)
    if not is_true(job.status.conditions, COMPLETE):
        files = f"{len(job.status.outputs)} files so far"
        raise CommandError(f"job {name} is {job.status.state}, with {files}: {job.status.message}")
    return 0


async def get_job(client: LightkubeClient, name: str, namespace: str) -> GenerationJob:
    """A job by its name. Raises UsageError when it is not there."""
    try:
        return GenerationJob.model_validate(await client.get(GENERATION_JOB, name, namespace))
    except NotFoundError as error:
        message = f'generationjobs.comfyard.io "{name}" is not in namespace "{namespace}"'
        raise UsageError(f"{message}; see kubectl get cgj -A") from error
