"""Objects of buckets: on AWS, and on anything that speaks S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import obstore
from obstore.store import S3Store

from comfyard.api.model_bundle import S3Source
from comfyard.api.s3 import endpoint_of, said
from comfyard.store import errors
from comfyard.store.http.answer import Answer
from comfyard.store.http.semantics import parse_content_range
from comfyard.store.http.web import Web
from comfyard.store.origin import Remote
from comfyard.store.stop import Stop

if TYPE_CHECKING:
    from obstore.store import S3Config

_GOOD_FOR = timedelta(hours=6)
"""It is signed again when it is refused."""

_GOOD = {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}
"""The last one is what an empty object says."""

_ERROR_BYTES = 4096


@dataclass(frozen=True)
class S3Origin:
    """One object.

    Attributes:
        key: See Origin.
        source: What the bundle says.
        web: For the endpoint.
    """

    key: str
    source: S3Source
    web: Web

    @contextmanager
    def locate(self, stop: Stop) -> Iterator[Remote]:
        """See Origin. One byte is asked for: the answer tells what is wrong, or how long the object is."""
        remote = Remote(self._address(), self._shown)
        with self.web.open(remote, stop, {"Range": "bytes=0-0"}) as answer:
            if answer.status not in _GOOD:
                raise self._explain(answer)
            part = parse_content_range(answer.headers.get("content-range", ""))
        yield replace(remote, size=part[2] if part else None)

    @property
    def _endpoint(self) -> str:
        return endpoint_of(self.source.endpoint, self.source.region).rstrip("/")

    @property
    def _shown(self) -> str:
        return f"{self.source.key} of bucket {self.source.bucket} at {self._endpoint}"

    def _address(self) -> str:
        """Signed with the keys that are named for the endpoint; as it is where there are none."""
        source = self.source
        if not {"", ".", ".."}.isdisjoint(source.key.split("/")):  # obstore would sign another key, or none
            raise errors.NotFoundError(
                f"{source.key!r} has parts that are empty or dots; copy the object to another key"
            )
        keys = self.web.credentials.s3_keys_for(self._endpoint)
        if keys is None:
            return f"{self._endpoint}/{source.bucket}/{quote(source.key, safe='/~')}"
        config: S3Config = {
            "endpoint": self._endpoint,
            "region": source.region,
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "virtual_hosted_style_request": False,  # the Secret's owner has allowed this host, not one of the bucket's
        }
        if keys.session_token:
            config["session_token"] = keys.session_token
        plain = urlsplit(self._endpoint).scheme == "http"
        store = S3Store(source.bucket, config=config, client_options={"allow_http": plain})
        return obstore.sign(store, "GET", source.key, _GOOD_FOR)

    def _explain(self, answer: Answer) -> errors.StoreError:
        source = self.source
        cause = said(answer.read(_ERROR_BYTES).decode(errors="replace")) or str(answer.status)
        if cause.startswith("NoSuchBucket"):
            return errors.NotFoundError(
                f"there is no bucket {source.bucket} at {self._endpoint}; correct bucket ({cause})"
            )
        if answer.status == HTTPStatus.NOT_FOUND:
            return errors.NotFoundError(f"there is no {self._shown}; correct key ({cause})")
        if answer.status in {HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED}:
            return errors.ForbiddenError(f"{self._shown} is refused ({cause}); {self._remedy()}")
        error = answer.error()
        if isinstance(error, errors.PermanentError):
            return errors.RefusedError(f"{self._shown} is refused ({cause}); correct region or endpoint")
        return error or errors.RefusedError(f"{self._shown}: unexpected {answer.status}")

    def _remedy(self) -> str:
        if self.web.credentials.s3_keys_for(self._endpoint):
            return "correct the keys in their Secret, or key, or give them the right to read it"
        host = urlsplit(self._endpoint).netloc
        return f"name a Secret in spec.credentials with S3 keys, whose annotation comfyard.io/hosts lists {host}"
