"""The files of a job, fetched from where they were stored: each checked, and there as a whole or not at all."""

import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from comfyard.agent.buckets import bucket_of
from comfyard.api.generation_job import GenerationJob, Result
from comfyard.cli.claim_reader import open_claim
from comfyard.cli.session import CommandError
from comfyard.kube.client import LightkubeClient
from comfyard.kube.secrets import SecretError
from comfyard.outputs.s3 import Bucket, read_object
from comfyard.outputs.store import OutputError


@dataclass(frozen=True)
class Place:
    """Where a file was stored, from its URI.

    Attributes:
        scheme: s3 or claim.
        name: Of the bucket or the claim.
        path: In it.
    """

    scheme: str
    name: str
    path: str


class _Source(Protocol):
    """A bucket or a claim that files are read from."""

    async def copy(self, path: str, file: BinaryIO) -> None:
        """Append a file's content to one that is open."""


async def fetch_results(
    client: LightkubeClient, job: GenerationJob, to: Path, console: Console, *, force: bool = False
) -> None:
    """Fetch all files that a job has stored into a folder. Those that are there already are left alone.

    Args:
        client: The API server.
        job: Whose files.
        to: The folder; it is made if it is not there.
        console: Where to say what was done.
        force: Replace files of these names that have another content.

    Raises:
        CommandError: A file cannot be had, is not what was stored, or would replace another.
    """
    wanted = missing(job.status.outputs, to, force=force)
    for place in dict.fromkeys((p.scheme, p.name) for p in map(place_of, wanted)):
        async with _open(client, job, *place) as source:
            for result in wanted:
                at = place_of(result)
                if (at.scheme, at.name) == place:
                    await _fetch(source, at, result, to / file_name(result))
                    console.print(Text(f"{to / file_name(result)}  {decimal(result.bytes)}"), soft_wrap=True)
    there = len(job.status.outputs) - len(wanted)
    if there:
        console.print(Text(f"{there} of {len(job.status.outputs)} files are in {to} already"), soft_wrap=True)


def missing(results: Sequence[Result], to: Path, *, force: bool) -> list[Result]:
    """Results that are not in the folder yet.

    Raises:
        CommandError: Another file has the name of one, and it is not to be replaced.
    """
    found = [result for result in results if not _is_there(to / file_name(result), result)]
    others = [] if force else [name for name in map(file_name, found) if (to / name).exists()]
    if others:
        raise CommandError(
            f"{', '.join(others)} in {to} would be replaced by a result of another content; "
            "name another folder with --to, or replace with --force"
        )
    return found


def _is_there(path: Path, result: Result) -> bool:
    return path.is_file() and path.stat().st_size == result.bytes and _sha256(path) == result.sha256


def place_of(result: Result) -> Place:
    """Where a result was stored. Raises CommandError for an address that is not ours."""
    scheme, _, rest = result.uri.partition("://")
    name, _, path = rest.partition("/")
    if scheme not in {"s3", "claim"} or not name or not path:
        raise CommandError(f"result {result.name}: {result.uri} is neither s3://… nor claim://…")
    return Place(scheme, name, path)


def file_name(result: Result) -> str:
    """What a result is called in a folder: the last part of its key, which tells its output and index."""
    name = place_of(result).path.rpartition("/")[2]
    if name in {"", ".", ".."} or not name.isprintable():
        raise CommandError(f"result {result.name}: {result.uri!r} does not end in a file's name")
    return name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _fetch(source: _Source, at: Place, result: Result, target: Path) -> None:
    """Fetch one file under a name of its own, check it, and give it its name."""
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("xb") as file:
            await source.copy(at.path, file)
            file.flush()
            os.fsync(file.fileno())
        found = _sha256(unfinished)
        if found != result.sha256:
            size = f"{unfinished.stat().st_size} of {result.bytes} bytes"
            raise CommandError(
                f"{result.uri} is not what the job stored: sha256 {found} instead of {result.sha256}, {size}; "
                "it was replaced there, or not read whole: try again"
            )
        unfinished.replace(target)
    except OutputError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"cannot write {target}: {error.strerror or error}; see --to") from error
    finally:
        unfinished.unlink(missing_ok=True)


@dataclass(frozen=True)
class _BucketSource:
    bucket: Bucket

    async def copy(self, path: str, file: BinaryIO) -> None:
        async for piece in read_object(self.bucket, path):
            file.write(piece)


@asynccontextmanager
async def _open(client: LightkubeClient, job: GenerationJob, scheme: str, name: str) -> AsyncIterator[_Source]:
    if scheme == "claim":
        async with open_claim(client, job, name) as reader:
            yield reader
    else:
        yield _BucketSource(await _bucket(client, job, name))


async def _bucket(client: LightkubeClient, job: GenerationJob, name: str) -> Bucket:
    """The bucket of the job's results, with the keys of the Secret that they were stored with."""
    s3 = job.status.output.s3 if job.status.output else None
    if s3 is None or s3.bucket != name:
        raise CommandError(f"job {job.metadata.name} does not tell in status.output how to read bucket {name}")
    try:
        return await bucket_of(client, job.metadata.namespace, s3, "status.output.s3")
    except SecretError as error:
        raise CommandError(str(error)) from error
