"""`comfyard convert`: a workflow of ComfyUI's editor in the API format that templates have."""

import json
from pathlib import Path
from typing import Any

import httpx2
import typer

from comfyard.workflow.conversion.convert import ConversionError, convert
from comfyard.workflow.conversion.problems import Reason
from comfyard.workflow.object_info import Knowledge, core, from_object_info

_TIMEOUT = httpx2.Timeout(60, connect=5)
"""Seconds. A server with many custom nodes takes some to write down what they are."""
_OF_CLASSES = {Reason.UNKNOWN_CLASS, Reason.VALUES}


class FileError(Exception):
    """A file cannot be read or written, or a server does not answer; the text names it and says why."""


def write(workflow: Path, object_info: str, output: Path | None) -> int:
    """Convert a file.

    Args:
        workflow: What the editor has saved.
        object_info: The file or the server that tells of node classes; empty: what is known of ComfyUI itself.
        output: Where to write the graph; None: to standard output.

    Returns:
        The exit code.
    """
    try:
        conversion = convert(_read(workflow), read_knowledge(object_info))
        for note in conversion.notes:
            typer.echo(f"comfyard: {workflow}: {note}", err=True)
        _print(json.dumps(conversion.graph, indent=2, ensure_ascii=False), output)
    except FileError as error:
        typer.echo(f"comfyard: {error}", err=True)
        return 1
    except ConversionError as error:
        for problem in error.problems:
            typer.echo(f"comfyard: {workflow}: {problem.describe()}", err=True)
        if not object_info and any(problem.reason in _OF_CLASSES for problem in error.problems):
            typer.echo("comfyard: with --object-info http://… a server tells what it knows of its nodes", err=True)
        return 1
    return 0


def _print(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text)
        return
    try:
        output.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise FileError(f"{output}: {error.strerror}") from error


def read_knowledge(source: str) -> Knowledge:
    """What a server (http://…) or a file with its answer tells; empty: ComfyUI's own classes. Raises FileError."""
    if not source:
        return core()
    told = _ask(source) if source.startswith(("http://", "https://")) else _read(Path(source))
    try:
        return from_object_info(told)
    except ValueError as error:
        raise FileError(f"{source}: {error}") from error


def _read(path: Path) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise FileError(f"{path} is not JSON: {error}") from error


def _ask(url: str) -> Any:  # noqa: ANN401 - any JSON
    """GET /object_info of a ComfyUI server, whose address may or may not end with it."""
    url = f"{url.removesuffix('/').removesuffix('/object_info')}/object_info"
    try:
        answer = httpx2.get(url, timeout=_TIMEOUT, follow_redirects=True)
        if answer.is_success:
            return answer.json()
        problem = f"the answer is {answer.status_code} {answer.reason_phrase}"
    except ValueError:
        problem = "the answer is not JSON"
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        problem = str(error) or type(error).__name__
    raise FileError(f"{url}: {problem}; give the address of a ComfyUI server")
