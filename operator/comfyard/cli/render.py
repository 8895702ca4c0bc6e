"""`comfyard render`: the graph that ComfyUI would get, from manifests alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import typer

from comfyard.api.generation_job import GenerationJobSpec, JobInput
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.cli.checking import Checker
from comfyard.cli.lint import read_texts
from comfyard.cli.manifests import Document, Fault, read_documents
from comfyard.cli.ordering import typed_values
from comfyard.cli.session import UsageError, warn
from comfyard.workflow.object_info import core
from comfyard.workflow.parameters import given_seed, resolve
from comfyard.workflow.prompts import build_prompts

_NOBODY = "00000000-0000-0000-0000-000000000000"
"""Stands for the uid that the API server gives to a job: it is in the names of files."""


def render(paths: Sequence[str], job: str, parameters: Sequence[str]) -> int:
    """Print the graph of the first of a job's `count`, and return the exit code.

    Args:
        paths: Files, folders, and - for what comes from stdin.
        job: Its name; empty: the only one of the files, or the only template with these parameters.
        parameters: NAME=VALUE; they go before the job's own.
    """
    try:
        checker = _read(paths)
        order, template = checker.order(job)
        graph = effective_graph(template, order, typed_values(template, parameters))
    except UsageError as error:
        warn(str(error))
        return error.exit_code
    typer.echo(json.dumps(graph, indent=2, ensure_ascii=False))
    return 0


def _read(paths: Sequence[str]) -> Checker:
    documents: list[Document] = []
    for file, text in read_texts(paths):
        for each in read_documents(file, text):
            if isinstance(each, Fault):
                raise UsageError(f"{file}:{each.line}: {each.message}")
            documents.append(each)
    checker = Checker(documents, core())
    wrong = [(document, found) for document, found in checker.run() if found.is_error]
    if wrong:
        lines = (f"{document.file}:{document.line(found.place)}: {found.message}" for document, found in wrong)
        raise UsageError("\n".join(lines))
    return checker


def effective_graph(
    template: WorkflowTemplateSpec, order: GenerationJobSpec | None, more: Mapping[str, Any]
) -> dict[str, Any]:
    """The graph as the agent would send it. Raises UsageError for values that no job may have.

    Args:
        template: With its graph in its place.
        order: The job, if there is one.
        more: Values that go before the job's own.
    """
    given = {**(order.parameters if order else {}), **more}
    values, problems = resolve(template, given)
    if problems:
        raise UsageError("; ".join(problems))
    seed = given_seed(template, given)
    if seed is None and any(p.type == "Seed" for p in template.parameters):
        warn("no seed is given: 0 stands for the one that is drawn when a job is accepted")
    files = {each.parameter: f"{_NOBODY}/{each.parameter}{_suffix(each)}" for each in (order.inputs if order else [])}
    [prompt] = build_prompts(template, {**values, **files}, seed or 0, uid=_NOBODY, attempt=0, count=1)
    return prompt.graph


def _suffix(given: JobInput) -> str:
    """Of the file's name, where the source tells it."""
    names = (
        urlsplit(given.url).path if given.url else "",
        given.s3.key if given.s3 else "",
        given.claim.path if given.claim else "",
    )
    return PurePosixPath(next(filter(None, names), "")).suffix
