"""The command `comfyard`: the in-cluster programs and what people ask, by subcommand."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Annotated, Any, Literal

import typer

from comfyard import __version__

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Comfyard on Kubernetes"
)


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
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point."""
    app()
