"""Results in an S3 bucket, or in anything that speaks S3."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store as ObstoreS3

from comfyard.api.s3 import endpoint_of, said
from comfyard.outputs.reading import Content
from comfyard.outputs.store import OutputError

_LONGEST_CAUSE = 300
_LONGEST_READ = timedelta(days=1)
"""A film over a slow line takes its time."""


@dataclass(frozen=True)
class Bucket:
    """Where in S3, and with which keys.

    Attributes:
        prefix: A folder in the bucket, or nothing.
        endpoint: With scheme and host, such as http://seaweedfs:8333; None is AWS.
    """

    name: str
    prefix: str
    endpoint: str | None
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


class S3Store:
    """Objects below a prefix of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        """Use the bucket; nothing is asked of it yet."""
        self._bucket = bucket
        self._endpoint = endpoint_of(bucket.endpoint, bucket.region)
        self._store = _client(bucket, timedelta(seconds=120))

    async def put(self, key: str, file: Content, content_type: str) -> str:
        """See ResultStore."""
        path = "/".join(part for part in (*self._bucket.prefix.split("/"), key) if part)
        file.seek(0)
        try:
            await obstore.put_async(self._store, path, file, attributes={"Content-Type": content_type})
        except (BaseError, OSError, ValueError) as error:
            raise self._explain(path, error) from error
        return f"s3://{self._bucket.name}/{path}"

    def _explain(self, path: str, error: Exception) -> OutputError:
        where = f"bucket {self._bucket.name} at {self._endpoint}"
        cause = _cause(str(error))
        if isinstance(error, ValueError):
            return OutputError(f"{where} cannot have {path}; correct the prefix: {cause}", transient=False)
        if isinstance(error, FileNotFoundError):
            return OutputError(f"{where} does not exist; create it: {cause}", transient=False)
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            fix = "correct its keys in the Secret, or give them the right to put objects"
            return OutputError(f"{where} refuses {path}; {fix}: {cause}", transient=False)
        return OutputError(f"{where} does not take {path}; see whether it can be reached: {cause}", transient=True)


async def read_object(bucket: Bucket, path: str) -> AsyncIterator[bytes]:
    """The content of an object, piece by piece.

    Args:
        bucket: The bucket; its prefix does not count.
        path: The whole key.

    Raises:
        OutputError: It cannot be read.
    """
    try:
        found = await obstore.get_async(_client(bucket, _LONGEST_READ), path)
        async for piece in found.stream():
            yield piece
    except (BaseError, OSError, ValueError) as error:
        where = f"bucket {bucket.name} at {endpoint_of(bucket.endpoint, bucket.region)}"
        cause = _cause(str(error))
        if isinstance(error, FileNotFoundError):
            raise OutputError(
                f"{where} has no {path}; correct the key, or see who has deleted it: {cause}", transient=False
            ) from error
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            fix = "correct its keys in the Secret, or give them the right to get objects"
            raise OutputError(f"{where} does not hand out {path}; {fix}: {cause}", transient=False) from error
        fix = "see whether it can be reached from here"
        raise OutputError(f"{where} does not hand out {path}; {fix}: {cause}", transient=True) from error


def _client(bucket: Bucket, longest: timedelta) -> ObstoreS3:
    """A client of which no request takes longer, and none is silent for a minute."""
    endpoint = endpoint_of(bucket.endpoint, bucket.region)
    return ObstoreS3(
        bucket.name,
        endpoint=endpoint,
        region=bucket.region,
        access_key_id=bucket.access_key,
        secret_access_key=bucket.secret_key,
        virtual_hosted_style_request=False,  # the Secret's owner has allowed this host, not one of the bucket's
        client_options={
            "allow_http": urlsplit(endpoint).scheme == "http",
            "connect_timeout": timedelta(seconds=10),
            "read_timeout": timedelta(seconds=60),
            "timeout": longest,
        },
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
    )


def _cause(text: str) -> str:
    """What a person needs of obstore's long story: the store's own words, or else the first line."""
    return said(text) or text.strip().partition("\n")[0][:_LONGEST_CAUSE]
