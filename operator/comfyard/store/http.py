"""Files behind http:// and https://."""

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx2

from comfyard import __version__
from comfyard.store import errors
from comfyard.store.http_answers import (
    error_of,
    parse_retry_after,
    range_headers,
    size_from_part,
    validator_of,
    without_query,
)
from comfyard.store.origin import Body
from comfyard.store.stop import Stop

_REDIRECTS = 10


def http_client(connect_seconds: float = 10, read_seconds: float = 30) -> httpx2.Client:
    """A client for all sources; usable from many threads.

    Args:
        connect_seconds: Until a connection is there.
        read_seconds: Without a byte, before the connection is given up.
    """
    return httpx2.Client(
        follow_redirects=True,
        max_redirects=_REDIRECTS,
        limits=httpx2.Limits(max_keepalive_connections=0),  # a connection a file, so that it can be hung up
        timeout=httpx2.Timeout(read_seconds, connect=connect_seconds, pool=None),
        headers={"User-Agent": f"comfyard/{__version__}", "Accept": "*/*"},
    )


class HttpOrigin:
    """One file behind one address.

    Args:
        client: From `http_client`.
        url: The address; without credentials, which the schema of the bundle sees to.
    """

    def __init__(self, client: httpx2.Client, url: str) -> None:
        self._client = client
        self._url = url
        self._shown = without_query(url)

    @property
    def key(self) -> str:
        """See Origin. A digest, since addresses may be signed."""
        return hashlib.sha256(f"http {self._url}".encode()).hexdigest()

    @contextmanager
    def open(self, offset: int, validator: str, stop: Stop) -> Iterator[Body]:
        """See Origin."""
        wire = _Wire()
        with (
            self._errors(stop),
            stop.waking(wire.hang_up),
            self._client.stream(
                "GET", self._url, headers=range_headers(offset, validator), extensions={"trace": wire.trace}
            ) as response,
        ):
            yield self._body(response, offset, validator, stop)

    def _body(self, response: httpx2.Response, offset: int, validator: str, stop: Stop) -> Body:
        wait = parse_retry_after(response.headers.get("retry-after"), datetime.now(UTC))
        error = error_of(response.status_code, self._shown, wait)
        if error:
            raise error
        if response.headers.get("content-encoding", "identity") != "identity":
            raise errors.RefusedError(f"{self._shown} sends the file compressed, though asked not to")
        chunks = self._chunks(response, stop)
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            size = size_from_part(response.headers, offset, validator, self._shown)
            return Body(offset, size, validator, chunks)
        length = response.headers.get("content-length")
        return Body(0, int(length) if length else None, validator_of(response.headers), chunks)

    def _chunks(self, response: httpx2.Response, stop: Stop) -> Iterator[bytes]:
        with self._errors(stop):
            for chunk in response.iter_raw():
                stop.check()
                yield chunk

    @contextmanager
    def _errors(self, stop: Stop) -> Iterator[None]:
        try:
            yield
        except (httpx2.TooManyRedirects, httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            raise errors.RefusedError(f"{self._shown}: {self._say(error)}; correct source.http.url") from error
        except httpx2.HTTPError as error:
            stop.check()  # who asked to stop has closed the connection
            raise errors.UnreachableError(f"{self._shown}: {self._say(error)}") from error

    @staticmethod
    def _say(error: Exception) -> str:
        said = without_query(str(error))
        return f"{type(error).__name__}: {said}" if said else type(error).__name__


class _Wire:
    """The connection of one request, so that a read that blocks in another thread can be ended."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Told by httpcore2 of each connection that it makes, also for redirects and inside of TLS."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")

    def hang_up(self) -> None:
        """End it. Not by SSLSocket.shutdown, which takes the TLS state away under the reader's feet."""
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
