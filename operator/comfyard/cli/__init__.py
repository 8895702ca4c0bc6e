"""The command `comfyard`: the in-cluster programs and what people ask, by subcommand."""

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from comfyard import __version__
from comfyard.cli import jobs

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Comfyard on Kubernetes"
)
app.add_typer(jobs.app)


def _log() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for every request, with its query
    logging.getLogger("kopf").setLevel(logging.WARNING)  # a line for every event
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # a line for every probe


def _run(program: Coroutine[Any, Any, int]) -> None:
    _log()
    raise typer.Exit(asyncio.run(program))


@app.command()
def operator() -> None:
    """Run the operator: decides what runs where, and makes it so."""
    from comfyard.controller.settings import Settings  # noqa: PLC0415 - each program imports what it needs only
    from comfyard.runtime.app import run  # noqa: PLC0415

    _run(run(Settings()))


@app.command()
def agent() -> None:
    """Run the agent beside one ComfyUI: does the work and reports it."""
    from comfyard.agent import Settings, run  # noqa: PLC0415
    from comfyard.kube.client import LightkubeClient  # noqa: PLC0415

    _run(run(Settings(), LightkubeClient.from_environment("comfyard-agent")))


@app.command()
def sync() -> None:
    """Run the store sync: makes the files of one claim match its bundles."""
    from comfyard.kube.client import LightkubeClient  # noqa: PLC0415
    from comfyard.sync.program import run  # noqa: PLC0415
    from comfyard.sync.settings import Settings  # noqa: PLC0415

    _run(run(Settings(), LightkubeClient.from_environment("comfyard-sync")))


@app.command()
def store(
    claim: Annotated[str, typer.Argument(help="A PersistentVolumeClaim. Without: all that hold models.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Without: that of kubectl's context.")] = "",
    output: Annotated[Literal["table", "json"], typer.Option("--output", "-o", help="How to print it.")] = "table",
) -> None:
    """Show what lies on claims with models: what bundles want, what they have left there, what is not ours."""
    from comfyard.cli.inventory import show  # noqa: PLC0415

    raise typer.Exit(show(claim, namespace, output))


@app.command()
def convert(
    workflow: Annotated[Path, typer.Argument(help="A workflow that ComfyUI's editor has saved.")],
    object_info: Annotated[
        str, typer.Option(help="A server (http://…), or a file with its /object_info. Without: ComfyUI's own nodes.")
    ] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Without: standard output.")] = None,
) -> None:
    """Convert a workflow of ComfyUI's editor to the API format."""
    from comfyard.cli.convert import write  # noqa: PLC0415

    raise typer.Exit(write(workflow, object_info, output))


@app.command()
def lint(
    files: Annotated[list[str], typer.Argument(help="Manifests and graphs, folders of them, or - for stdin.")],
    object_info: Annotated[
        str, typer.Option(help="A server (http://…), or a file with its /object_info. Without: ComfyUI's own nodes.")
    ] = "",
) -> None:
    """Check manifests and graphs without a cluster; exits with 1 on errors, not on warnings."""
    from comfyard.cli.lint import lint  # noqa: PLC0415

    raise typer.Exit(lint(files, object_info))


@app.command()
def render(
    files: Annotated[list[str], typer.Argument(help="A template and what belongs to it, folders, or - for stdin.")],
    job: Annotated[str, typer.Option(help="A job of the files. Without: the only one, or the template alone.")] = "",
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="NAME=@FILE for what a file holds."),
    ] = None,
) -> None:
    """Print the graph that ComfyUI would get."""
    from comfyard.cli.render import render  # noqa: PLC0415

    raise typer.Exit(render(files, job, parameters or []))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point."""
    app()
