"""`comfyard lint`: all checks that need no cluster, for pre-commit and CI."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from comfyard.cli.checking import Checker
from comfyard.cli.convert import FileError, read_knowledge
from comfyard.cli.manifests import Document, Fault, read_documents
from comfyard.cli.session import UsageError, warn
from comfyard.workflow.object_info import Knowledge

STDIN = "-"
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_GROUP_MARK = "comfyard.io/"
Line = tuple[str, int, str, str]
"""File, line, severity, message."""


def lint(paths: Sequence[str], object_info: str) -> int:
    """Print what is wrong with files, one line each, and return the exit code: 1 for errors, not for warnings.

    Args:
        paths: Files, folders, and - for what comes from stdin.
        object_info: A server, or a file with its answer to GET /object_info. Empty: ComfyUI's own classes are known.
    """
    try:
        knowledge = read_knowledge(object_info)
        texts = list(read_texts(paths))
    except (FileError, UsageError) as error:
        warn(str(error))
        return UsageError.exit_code
    lines = check_texts(texts, knowledge)
    for file, line, severity, message in lines:
        typer.echo(f"{file}:{line}: {severity.lower()}: {message}")
    errors = sum(severity == "Error" for _, _, severity, _ in lines)
    typer.echo(f"{len(texts)} files: {errors} errors, {len(lines) - errors} warnings", err=True)
    return 1 if errors else 0


def check_texts(texts: Sequence[tuple[str, str]], knowledge: Knowledge) -> list[Line]:
    """What is wrong with files, in their order and that of their lines.

    Args:
        texts: Name and content of each.
        knowledge: Of node classes.
    """
    lines: list[Line] = []
    documents: list[Document] = []
    for file, text in texts:
        for each in read_documents(file, text):
            if isinstance(each, Fault):
                lines.append((file, each.line, "Error", each.message))
            else:
                documents.append(each)
    for document, found in Checker(documents, knowledge).run():
        lines.append((document.file, document.line(found.place), found.severity, found.message))
    order = {file: index for index, (file, _) in enumerate(texts)}
    return sorted(dict.fromkeys(lines), key=lambda line: (order[line[0]], line[1]))


def read_texts(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and content of every file; of folders, those that may be manifests or graphs. Raises UsageError."""
    for path in dict.fromkeys(paths):
        if path == STDIN:
            yield STDIN, sys.stdin.read()
        elif Path(path).is_dir():
            yield from ((str(file), text) for file in _files(Path(path)) if _may_be_ours(text := _read(file), file))
        else:
            yield path, _read(Path(path))


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder; not hidden ones, nor templates of Helm, which are no YAML before they are rendered."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or (path.name == "templates" and (folder / "Chart.yaml").exists()):
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.suffix in _SUFFIXES:
            yield path


def _may_be_ours(text: str, file: Path) -> bool:
    """A folder holds other things too, which are none of our business."""
    return _GROUP_MARK in text or "kind: ConfigMap" in text or (file.suffix == ".json" and '"class_type"' in text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"cannot read {path}: it is no text in UTF-8") from None
