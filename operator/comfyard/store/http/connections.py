"""Connections of urllib3: through proxies or directly, kept open, and such that another thread can hang them up."""

import http.client
import io
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined] # typeshed lacks one

from urllib3 import PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import URLSchemeUnknown
from urllib3.response import HTTPResponse
from urllib3.util import make_headers, parse_url
from urllib3.util.ssltransport import SSLTransport

from comfyard.store.errors import UnreachableError
from comfyard.store.http.credentials import Place
from comfyard.store.stop import Stop


class Wire:
    """The socket of one request, from when it waits for the answer until that is read.

    Making the connection takes its timeout at most, so it is not worth hanging up.

    Args:
        stop: Asked before the wait.

    Attributes:
        body: Of the answer, once that has begun.
    """

    body: "Body"

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._socket: socket.socket | None = None
        self._broken: Exception | None = None

    def attach(self, connection: HTTPConnection) -> None:
        """The request is out. Raises StoppedError when it is not worth waiting for the answer.

        First the socket, then the question: whoever asks to stop in between finds it.
        """
        found = connection.sock
        self._socket = found.socket if isinstance(found, SSLTransport) else found  # TLS to a proxy, in TLS
        self._stop.check()

    def read_into(self, buffer: memoryview) -> int:
        """Take what there is, and wait only if that is nothing. 0 at the end. Raises OSError, HTTPException."""
        if self._broken:
            raise self._broken
        ready = select.poll()
        if self._socket is not None and self._socket.fileno() >= 0:
            ready.register(self._socket, select.POLLIN)
        count = 0
        while count < len(buffer):
            try:
                more = self.body.read_available(buffer[count:])
            except (OSError, http.client.HTTPException) as error:
                if not count:
                    raise
                self._broken = error  # first what came before it
                break
            count += more
            if not more or not ready.poll(0):
                break
        return count

    @contextmanager
    def current(self) -> Iterator[None]:
        """While inside, requests of this thread are its."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    def hang_up(self) -> None:
        """End it. Not by SSLSocket.shutdown, which takes the TLS state away under the reader's feet."""
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_CURRENT: ContextVar[Wire] = ContextVar("wire")
"""Of the request that this thread makes: urllib3 chooses the connection, or makes one."""


class Body(http.client.HTTPResponse):
    """A body that is read into buffers of ours. Through urllib3 every piece is new memory, which costs a fast link."""

    def begin(self) -> None:  # type: ignore[explicit-override] # typing.override is in Python 3.12
        """See HTTPResponse: the headers are read."""
        super().begin()
        _CURRENT.get().body = self

    def read_available(self, buffer: memoryview) -> int:
        """What one look at the socket brings; waits if that is nothing. 0 at the end. Raises OSError, HTTPException."""
        if self.chunked or self.length is None or not isinstance(self.fp, io.BufferedReader):
            content = self.read1(len(buffer))
            buffer[: len(content)] = content
            return len(content)
        count = self.fp.readinto1(buffer[: self.length])
        self.length -= count
        if not count and self.length:
            raise http.client.IncompleteRead(b"", self.length)
        if not self.length:
            self.close()  # of the answer; the connection is used again
        return count


class _Connection(HTTPConnection):
    response_class = Body

    def getresponse(self) -> HTTPResponse:  # type: ignore[explicit-override, override] # as urllib3 has it
        _CURRENT.get().attach(self)
        return super().getresponse()


class _TlsConnection(HTTPSConnection):
    response_class = Body

    def getresponse(self) -> HTTPResponse:  # type: ignore[explicit-override, override] # as urllib3 has it
        _CURRENT.get().attach(self)
        return super().getresponse()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _Pool, "https": _TlsPool}
_PLACES = 64
"""Whose connections are kept."""


class Connections:
    """Connections to all places.

    Args:
        most: To one place, at the same time.
    """

    def __init__(self, most: int) -> None:
        self._proxies = getproxies_environment()
        self._how: dict[str, Any] = {
            "num_pools": _PLACES,
            "maxsize": most,
            "ssl_context": ssl.create_default_context(),
        }
        self._lock = threading.Lock()
        self._managers: dict[str, PoolManager] = {}

    def manager(self, place: Place) -> PoolManager:
        """What connects to a place. Raises UnreachableError when the environment names a proxy that is not for HTTP."""
        proxy = self._proxies.get(place.scheme) or self._proxies.get("all") or ""
        if proxy_bypass_environment(f"{place.host.strip('[]')}:{place.port}", self._proxies):
            proxy = ""
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._made(proxy)
            return self._managers[proxy]

    def close(self) -> None:
        """Close those that are not in use."""
        for manager in self._managers.values():
            manager.clear()

    def _made(self, proxy: str) -> PoolManager:
        manager = PoolManager(**self._how)
        if proxy:
            address = parse_url(proxy if "://" in proxy else f"http://{proxy}")
            login = make_headers(proxy_basic_auth=unquote(address.auth)) if address.auth else None
            try:
                manager = ProxyManager(
                    address._replace(auth=None).url,
                    proxy_headers=login,
                    proxy_ssl_context=self._how["ssl_context"],
                    **self._how,
                )
            except URLSchemeUnknown as error:
                raise UnreachableError(f"{error}; correct HTTPS_PROXY and HTTP_PROXY of the sync") from error
        manager.pool_classes_by_scheme = _POOLS
        return manager
