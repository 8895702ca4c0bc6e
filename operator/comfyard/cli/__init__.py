"""The command `comfyard`: the in-cluster programs by subcommand."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

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
    from comfyard.sync import Settings, run  # noqa: PLC0415

    _run(run(Settings(), LightkubeClient.from_environment("comfyard-sync")))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point."""
    app()
