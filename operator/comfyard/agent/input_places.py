"""Where the files of a job's spec.inputs lie, and how their bytes come from there."""

import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from comfyard.agent.buckets import bucket_of
from comfyard.agent.files import open_file
from comfyard.agent.settings import Settings
from comfyard.api.generation_job import GenerationJob, JobInput, JobOutput, Result
from comfyard.api.output import S3Bucket
from comfyard.kube.errors import NotFoundError
from comfyard.kube.kinds import GENERATION_JOB
from comfyard.kube.protocol import KubeClient
from comfyard.kube.secrets import SecretError
from comfyard.outputs.reading import PIECE
from comfyard.outputs.s3 import Bucket, read_object
from comfyard.outputs.store import TransferError
from comfyard.store.errors import StoreError, UnauthorizedError
from comfyard.store.http.semantics import without_query
from comfyard.store.http.web import Web
from comfyard.store.origin import Remote
from comfyard.store.stop import Stop
from comfyard.store.threads import in_thread

_LINKED = frozenset({errno.ELOOP, errno.ENOTDIR})
"""What Linux says of links, to files and to folders, when they are not to be followed."""

Take = Callable[[bytes], None]


class InputError(TransferError):
    """The file of a parameter could not be had."""


@dataclass(frozen=True)
class Place:
    """Where a file lies.

    Attributes:
        shown: What messages call it; no secret.
        filename: Its name there.
        copy: Gives its bytes, in order. Raises InputError.
        sha256: What it was when it was put there, if that is known.
    """

    shown: str
    filename: str
    copy: Callable[[Take], Awaitable[None]]
    sha256: str | None = None


class Places:
    """Finds them."""

    def __init__(self, client: KubeClient, settings: Settings, web: Web) -> None:
        self._client = client
        self._settings = settings
        self._web = web

    async def find(self, given: JobInput) -> Place:
        """Where an input lies. Raises InputError, or ApiError when the API server is away."""
        if given.url:
            shown = without_query(given.url)
            return Place(shown, unquote(urlsplit(given.url).path), partial(self._download, given.url, shown))
        if given.s3:
            return await self._object(given.s3, given.s3.key, "spec.inputs.s3")
        if given.claim:
            return self._file(given.claim.name, given.claim.path)
        if given.job:
            return await self._result(given.job)
        raise InputError("the input names no place that this version knows; name another, or upgrade", transient=False)

    async def _download(self, url: str, shown: str, take: Take) -> None:
        def work(stop: Stop) -> None:
            with self._web.open(Remote(url, shown), stop) as answer:
                error = answer.error()
                if error:
                    raise error
                while piece := answer.read(PIECE):
                    take(piece)

        try:
            await in_thread(work)
        except UnauthorizedError as error:
            message = f"{shown} wants a login; name a signed address, or the file in a bucket or on a claim"
            raise InputError(message, transient=False) from error
        except StoreError as error:
            raise InputError(str(error), transient=not error.permanent) from error

    async def _object(self, place: S3Bucket, key: str, where: str) -> Place:
        try:
            bucket = await bucket_of(self._client, self._settings.namespace, place, where)
        except SecretError as error:
            raise InputError(str(error), transient=False) from error
        return Place(f"{key} of bucket {place.bucket}", key, partial(_read_object, bucket, key))

    def _file(self, claim: str, path: str) -> Place:
        shown = f"{path} of claim {claim}"
        return Place(shown, path, partial(self._read_file, claim, path, shown))

    async def _read_file(self, claim: str, path: str, shown: str, take: Take) -> None:
        def work(stop: Stop) -> None:
            with open_file(self._settings.inputs_directory / claim, PurePosixPath(path)) as file:
                while piece := file.read(PIECE):
                    stop.check()
                    take(piece)

        try:
            await in_thread(work)
        except FileNotFoundError as error:
            raise InputError(f"there is no {shown}; correct its path", transient=False) from error
        except OSError as error:
            raise _unreadable(shown, error) from error

    async def _result(self, wanted: JobOutput) -> Place:
        try:
            obj = await self._client.get(GENERATION_JOB, wanted.name, self._settings.namespace)
        except NotFoundError as error:
            message = f"job {wanted.name} was deleted; order again with another input"
            raise InputError(message, transient=False) from error
        job = GenerationJob.model_validate(obj)
        found = (r for r in job.status.outputs if (r.name, r.index) == (wanted.output, wanted.index))
        result = next(found, None)
        if result is None:
            message = (
                f"job {wanted.name} has no result {wanted.output} {wanted.index}; order again with one that it has"
            )
            raise InputError(message, transient=False)
        return await self._stored(job, result)

    async def _stored(self, job: GenerationJob, result: Result) -> Place:
        scheme, _, rest = result.uri.partition("://")
        holder, _, path = rest.partition("/")
        output = job.status.output
        if scheme == "claim":
            place = self._file(holder, path)
        elif scheme == "s3" and output and output.s3:
            place = await self._object(output.s3, path, f"status.output.s3 of job {job.metadata.name}")
        else:
            message = f"nobody here knows where {result.uri} of job {job.metadata.name} lies; copy it to a claim"
            raise InputError(message, transient=False)
        shown = f"{result.name} {result.index} of job {job.metadata.name}, {place.shown}"
        return Place(shown, place.filename, place.copy, result.sha256)


def _unreadable(shown: str, error: OSError) -> InputError:
    if error.errno in _LINKED:
        return InputError(f"{shown} is behind a symbolic link; name the file that it leads to", transient=False)
    if error.errno is None:
        return InputError(f"{shown} cannot be taken: {error}; name an ordinary file", transient=False)
    return InputError(f"{shown} cannot be read: {error.strerror}; see whether the volume is healthy", transient=True)


async def _read_object(bucket: Bucket, key: str, take: Take) -> None:
    try:
        async for piece in read_object(bucket, key):
            take(piece)
    except InputError:
        raise
    except TransferError as error:
        raise InputError(str(error), transient=error.transient) from error
