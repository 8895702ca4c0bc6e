"""A job as it goes on, until it has ended: a bar on a terminal, lines elsewhere."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from comfyard.api.generation_job import GenerationJob
from comfyard.api.generation_job import Progress as JobProgress
from comfyard.cli.session import CommandError, warn
from comfyard.cli.watching import watch_until
from comfyard.kube.errors import ApiError
from comfyard.kube.kinds import GENERATION_JOB, Obj, name_of, namespace_of
from comfyard.kube.protocol import KubeClient

_WHOLE = 100


async def follow(client: KubeClient, made: Obj, console: Console) -> Obj:
    """Show a job until it has ended.

    Args:
        client: The API server.
        made: The job as it was created.
        console: Where to show it.

    Returns:
        The ended job.

    Raises:
        CommandError: It is not followed any more; the message says how it stands.
    """
    name, namespace = name_of(made), namespace_of(made)
    kubectl = f"kubectl -n {namespace}"
    try:
        with show_on(console) as shown:

            def show(seen: Obj) -> bool:
                job = GenerationJob.model_validate(seen)
                shown.show(job)
                return job.is_finished()

            last = await watch_until(client, GENERATION_JOB, made, show)
    except asyncio.CancelledError:
        warn(f"job {name} goes on; to stop it: {kubectl} delete generationjobs.comfyard.io {name}")
        raise
    except ApiError as error:
        fix = f"it goes on; see {kubectl} get generationjobs.comfyard.io {name}"
        raise CommandError(f"cannot follow job {name}: {error}; {fix}") from error
    if last is None:
        raise CommandError(f"job {name} was deleted, which stops it")
    return last


class Shown(Protocol):
    """Where the changes of a job are shown."""

    def show(self, job: GenerationJob) -> None:
        """Show how it stands now."""


@contextlib.contextmanager
def show_on(console: Console) -> Iterator[Shown]:
    """What shows a job on that console, for as long as the context lasts."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress)


class _Bar:
    """A bar, and above it what the job waits for."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=_WHOLE)
        self._said = ""

    def show(self, job: GenerationJob) -> None:
        status = job.status
        progress = status.progress or JobProgress()
        steps = f" {progress.step}/{progress.steps}" if progress.steps > 1 else ""
        words = f"{job.metadata.name}: {status.state} {progress.node}{steps}".rstrip()
        self._progress.update(self._task, description=words, completed=progress.percent)
        waits = status.state != "Running"
        if waits and status.message != self._said:
            self._progress.console.print(Text(status.message, style="dim"))
            self._said = status.message


class _Lines:
    """A line for each change, as for a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ""

    def show(self, job: GenerationJob) -> None:
        status = job.status
        percent = f" {status.progress.percent}%" if status.progress else ""
        said = f"{job.metadata.name}: {status.state}{percent}" + (f": {status.message}" if status.message else "")
        if said != self._said:
            self._console.print(Text(said), soft_wrap=True)
        self._said = said
