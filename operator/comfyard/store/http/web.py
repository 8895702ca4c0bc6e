"""Files and metadata behind http:// and https://.

Redirects are followed here, hop by hop, because each hop decides anew what it may be shown: a host that gives files by
signed addresses refuses requests with an Authorization header, and another one must not get to see it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urljoin

import urllib3

from comfyard import __version__
from comfyard.store import errors
from comfyard.store.http.answer import Answer, Asked, request_errors
from comfyard.store.http.connections import Connections, Wire
from comfyard.store.http.credentials import Credentials, Place, place_of
from comfyard.store.http.hosts import Hosts
from comfyard.store.origin import Remote
from comfyard.store.stop import Stop

_REDIRECTS = 10
_MOVED = frozenset({301, 302, 303, 307, 308})
_METADATA_BYTES = 16 * 1024 * 1024
_PIECE = 64 * 1024
_OWN = {"User-Agent": f"comfyard/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
"""A compressed answer would have other offsets, so none is asked for."""


@dataclass(frozen=True)
class Request:
    """How to ask.

    Attributes:
        method: Of HTTP.
        body: What goes along.
        auth: Whether credentials may be shown.
        follow: Whether redirects are followed.
    """

    method: str = "GET"
    body: bytes | None = None
    auth: bool = True
    follow: bool = True


class Web:
    """All requests to sources; usable from many threads. A context manager, since it keeps connections open.

    Proxies come from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), and so do other authorities than the
    system's (SSL_CERT_FILE).

    Args:
        credentials: What may be shown to whom; may be replaced at any time.
        connect_seconds: Until a connection is there.
        read_seconds: Without a byte, before the connection is given up.
        hosts: How many connections a host gets.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        connect_seconds: float = 10,
        read_seconds: float = 30,
        hosts: Hosts | None = None,
    ) -> None:
        self.credentials = credentials or Credentials()
        self.hosts = hosts or Hosts()
        self._timeout = urllib3.Timeout(connect=connect_seconds, read=read_seconds)
        self._connections = Connections(self.hosts.most)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.close()

    @contextmanager
    def open(
        self,
        remote: Remote,
        stop: Stop,
        headers: Mapping[str, str] | None = None,
        request: Request | None = None,
    ) -> Iterator[Answer]:
        """Ask for an address, and follow where it leads.

        Args:
            remote: The address, with headers for its own place.
            stop: Ends it from another thread, also while it waits for bytes.
            headers: For every place on the way.
            request: If it is not a plain GET.

        Raises:
            UnreachableError: No answer.
            RefusedError: It leads nowhere, in circles, or out of TLS.
            StoppedError: It was asked to stop.
        """
        request = request or Request()
        place = _place_of(remote.url, remote.shown)
        hop = remote
        for _ in range(_REDIRECTS + 1):
            answer = self._ask(hop, stop, headers or {}, request)
            location = answer.headers.get("location", "")
            if answer.status not in _MOVED or not location or not request.follow:
                break
            answer.close()
            hop = _next(hop, location, remote, place)
        else:
            raise errors.RefusedError(f"{remote.shown} leads on more than {_REDIRECTS} times; correct the source")
        try:
            yield answer
        finally:
            answer.close()

    def fetch(
        self,
        url: str,
        shown: str,
        stop: Stop,
        headers: Mapping[str, str] | None = None,
        request: Request | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Metadata, whatever the status says: status, headers and content of at most 16 MiB.

        Args:
            url: The address.
            shown: What messages call it.
            stop: Ends it from another thread.
            headers: For the address's own place.
            request: If it is not a plain GET.

        Raises:
            StoreError: No answer, or too long a one.
            StoppedError: It was asked to stop.
        """
        with self.open(Remote(url, shown, headers or {}), stop, request=request) as answer:
            return answer.status, answer.headers, _metadata(answer)

    def get_json(
        self, url: str, shown: str, stop: Stop, headers: Mapping[str, str] | None = None, *, auth: bool = True
    ) -> tuple[Any, Mapping[str, str]]:
        """Metadata as JSON, and the headers that came with it.

        Args:
            url: The address.
            shown: What messages call it.
            stop: Ends it from another thread.
            headers: For the address's own place.
            auth: Whether credentials may be shown.

        Raises:
            StoreError: No answer, or not such a one.
            StoppedError: It was asked to stop.
        """
        return self._json(Remote(url, shown, headers or {}), stop, Request(auth=auth))

    def post_json(
        self, url: str, shown: str, stop: Stop, content: object, headers: Mapping[str, str] | None = None
    ) -> tuple[Any, Mapping[str, str]]:
        """Like get_json, with a question in JSON. Redirects are not followed."""
        everything = {"Content-Type": "application/json"} | dict(headers or {})
        request = Request("POST", json.dumps(content).encode(), follow=False)
        return self._json(Remote(url, shown, everything), stop, request)

    def _json(self, remote: Remote, stop: Stop, request: Request) -> tuple[Any, Mapping[str, str]]:
        with self.open(remote, stop, request=request) as answer:
            error = answer.error()
            if error:
                raise error
            try:
                return json.loads(_metadata(answer)), answer.headers
            except (ValueError, RecursionError):
                raise errors.RefusedError(f"{remote.shown} answers with what is not JSON; correct the source") from None

    def _ask(self, hop: Remote, stop: Stop, headers: Mapping[str, str], request: Request) -> Answer:
        place = _place_of(hop.url, hop.shown)
        shown = urllib3.HTTPHeaderDict(_OWN)
        if request.auth:
            shown.update(self.credentials.headers_for(hop.url))
        for more in (headers, hop.headers):
            for name, value in more.items():
                shown[name] = value
        with ExitStack() as holding:
            slot = holding.enter_context(self.hosts.connection(f"{place.host}:{place.port}", stop))
            wire = Wire(stop)
            holding.enter_context(stop.waking(wire.hang_up))
            with request_errors(hop.shown, stop), wire.current():
                response = self._connections.manager(place).urlopen(
                    request.method,
                    hop.url,
                    body=request.body,
                    headers=shown,
                    redirect=False,
                    retries=False,
                    timeout=self._timeout,
                    preload_content=False,
                    decode_content=False,
                )
            holding.callback(_release, response, wire)
            return Answer(response, wire, hop, Asked(stop, place, "Authorization" in shown), slot, holding.pop_all())


def _place_of(url: str, shown: str) -> Place:
    try:
        return place_of(url)
    except ValueError as error:
        raise errors.RefusedError(f"{shown}: {error}; correct the source") from None


def _next(hop: Remote, location: str, start: Remote, place: Place) -> Remote:
    """Where a redirect leads; headers that were meant for the start's place go there only."""
    try:
        url = urljoin(hop.url, location)
        found = place_of(url)
    except ValueError as error:
        raise errors.RefusedError(f"{start.shown} leads to what is {error}; correct the source") from None
    if found.scheme == "http" and place_of(hop.url).scheme == "https":
        raise errors.RefusedError(f"{start.shown} leads out of TLS, to http on {found.shown}; name a source with https")
    return replace(start, url=url, headers=start.headers if found == place else {})


def _metadata(answer: Answer) -> bytes:
    content = bytearray()
    while piece := answer.read(_PIECE):
        content += piece
        if len(content) > _METADATA_BYTES:
            raise errors.RefusedError(f"{answer.where.shown} answers with far more than metadata; correct the source")
    return bytes(content)


def _release(response: urllib3.BaseHTTPResponse, wire: Wire) -> None:
    """Back to the pool; what is not read to its end is closed first."""
    if not wire.body.isclosed():
        response.close()
    response.release_conn()
