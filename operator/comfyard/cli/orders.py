"""What is the same of a new order and one that is ordered again: it is created, followed, and its files are named."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import typer
import yaml
from rich.console import Console
from rich.text import Text

from comfyard.api.conditions import COMPLETE, is_true
from comfyard.api.generation_job import GenerationJob
from comfyard.cli.fetching import fetch_results
from comfyard.cli.following import follow
from comfyard.cli.session import CommandError, UsageError
from comfyard.kube.client import LightkubeClient
from comfyard.kube.errors import ConflictError, InvalidError
from comfyard.kube.kinds import GENERATION_JOB, Obj, name_of, namespace_of

Output = Literal["name", "yaml", "json"]

_LONGEST_BASE = 57
"""Characters of generateName that the API server keeps are 58; ours ends in a dash."""


@dataclass(frozen=True)
class Then:
    """What happens once a job is created.

    Attributes:
        wait: Until it has ended.
        to: The folder that its files are fetched to; None: they stay where they are.
        output: How the job is printed on stdout, with everything else on stderr; None: it is not printed.
    """

    wait: bool = True
    to: Path | None = None
    output: Output | None = None

    @property
    def console(self) -> Console:
        """Where people are told how it goes."""
        return Console(stderr=self.output is not None)


def build_job(namespace: str, name: str, base: str, spec: Mapping[str, Any]) -> Obj:
    """The order, ready to create; without a name it gets one that begins with `base`."""
    metadata: Obj = {"name": name} if name else {"generateName": f"{base[:_LONGEST_BASE]}-"}
    return {"metadata": {**metadata, "namespace": namespace}, "spec": dict(spec)}


async def create(client: LightkubeClient, job: Obj) -> Obj:
    """Create an order. Raises UsageError when the API server will not have it."""
    try:
        return await client.create(GENERATION_JOB, job)
    except ConflictError as error:
        name, namespace = name_of(job), namespace_of(job)
        message = f"generationjobs.comfyard.io {name} is in namespace {namespace} already, and a job runs once"
        raise UsageError(f"{message}; choose another --name") from error
    except InvalidError as error:
        raise UsageError(str(error)) from error


async def attend(client: LightkubeClient, made: Obj, then: Then) -> GenerationJob:
    """See to a job that was created: follow it, print it, fetch its files, as it is wanted.

    Returns:
        The job as it was seen last.

    Raises:
        CommandError: The job has failed or is not followed any more, or its files cannot be fetched.
    """
    console = then.console
    console.print(Text(f"job {name_of(made)} created in namespace {namespace_of(made)}"), soft_wrap=True)
    last = await follow(client, made, console) if then.wait else made
    if then.output:
        typer.echo(printed(last, then.output))
    job = GenerationJob.model_validate(last)
    if then.wait:
        await _conclude(client, job, then)
    return job


async def _conclude(client: LightkubeClient, job: GenerationJob, then: Then) -> None:
    """Fetch the files of a job that has ended, or tell where they are."""
    if not is_true(job.status.conditions, COMPLETE):
        raise CommandError(f"job {job.metadata.name} failed: {job.status.message}")
    if then.to:
        await fetch_results(client, job, then.to, then.console)
        return
    for result in job.status.outputs:
        then.console.print(Text(result.uri), soft_wrap=True)


def printed(job: Obj, output: Output) -> str:
    """A job as kubectl prints it."""
    whole = {"apiVersion": GENERATION_JOB.api_version, "kind": GENERATION_JOB.kind, **job}
    match output:
        case "name":
            return f"{GENERATION_JOB.kind.lower()}.{GENERATION_JOB.group}/{name_of(job)}"
        case "json":
            return json.dumps(whole, indent=4)
        case "yaml":
            return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True).removesuffix("\n")
