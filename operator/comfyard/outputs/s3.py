"""Results in an S3 bucket, or in anything that speaks S3."""

from dataclasses import dataclass, field
from datetime import timedelta
from io import BufferedReader
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store as ObstoreS3

from comfyard.api.s3 import endpoint_of, said
from comfyard.outputs.store import OutputError

_LONGEST_CAUSE = 300


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
        self._store = ObstoreS3(
            bucket.name,
            endpoint=self._endpoint,
            region=bucket.region,
            access_key_id=bucket.access_key,
            secret_access_key=bucket.secret_key,
            virtual_hosted_style_request=False,  # the Secret's owner has allowed this host, not one of the bucket's
            client_options={
                "allow_http": urlsplit(self._endpoint).scheme == "http",
                "connect_timeout": timedelta(seconds=10),
                "timeout": timedelta(seconds=120),
            },
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
        )

    async def put(self, key: str, file: BufferedReader, content_type: str) -> str:
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


def _cause(text: str) -> str:
    """What a person needs of obstore's long story: the store's own words, or else the first line."""
    return said(text) or text.strip().partition("\n")[0][:_LONGEST_CAUSE]
