"""What all commands that ask the API server share: a connection, and how they end."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import typer

from comfyard.kube.client import LightkubeClient
from comfyard.kube.errors import ApiError

_FAILED = 1
_USAGE = 2
_INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""


class CommandError(Exception):
    """The command ends here. The message has the cause and the fix."""

    exit_code = _FAILED


class UsageError(CommandError):
    """What was typed cannot be done; nothing was changed."""

    exit_code = _USAGE


@asynccontextmanager
async def connect() -> AsyncIterator[LightkubeClient]:
    """The API server of kubectl's context. Raises ApiError when there is none."""
    client = LightkubeClient.from_environment("comfyard")
    try:
        yield client
    finally:
        await client.close()


def execute(program: Coroutine[Any, Any, int]) -> int:
    """Run a command to its end, and say on stderr why it has failed.

    Returns:
        The exit code: its own; 1 failed, 2 usage, 130 interrupted.
    """
    try:
        return asyncio.run(program)
    except CommandError as error:
        warn(str(error))
        return error.exit_code
    except ApiError as error:
        warn(str(error))
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED


def warn(message: str) -> None:
    """Say something that does not belong to what was asked for."""
    typer.echo(f"comfyard: {message}", err=True)
