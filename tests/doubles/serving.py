"""What all doubles share: applications in a thread of their own, what they were asked, and files in ranges."""

import asyncio
import base64
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict, CIMultiDictProxy

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PIECE = 64 * 1024


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    query: str
    headers: CIMultiDictProxy[str]


@dataclass
class Record:
    """All that one server was asked, in order."""

    requests: list[Request] = field(default_factory=list)

    def sent(self, header: str) -> list[str | None]:
        """The header of each request."""
        return [request.headers.get(header) for request in self.requests]

    def asked(self) -> list[str]:
        """Method and path of each request."""
        return [f"{request.method} {request.path}" for request in self.requests]

    def holds(self, secret: str) -> bool:
        """Whether a secret has come here, in whatever place, also as a password."""
        return any(secret in _told(request) for request in self.requests)

    def middleware(self) -> web.Application:
        """An application that writes all requests down."""

        @web.middleware
        async def write_down(request: web.Request, handler: Handler) -> web.StreamResponse:
            headers = CIMultiDictProxy(CIMultiDict(request.headers))
            self.requests.append(Request(request.method, request.path, request.query_string, headers))
            return await handler(request)

        return web.Application(middlewares=[write_down], client_max_size=1 << 30)


def _told(request: Request) -> str:
    scheme, _, login = request.headers.get("Authorization", "").partition(" ")
    password = base64.b64decode(login).decode() if scheme == "Basic" else ""
    return f"{request.path}?{request.query} {list(request.headers.items())} {password}"


@contextmanager
def serving(*apps: web.Application, host: str = "127.0.0.1", port: int = 0) -> Iterator[list[str]]:
    """Serve applications, the first one at the port, the others at free ones; gives their addresses.

    Requests that a client has left are cancelled; those that hang are at the end.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runners: list[web.AppRunner] = []

    async def start() -> list[str]:
        for number, app in enumerate(apps):
            runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0, access_log=None)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, host, 0 if number else port).start()
        return [f"http://{host}:{runner.addresses[0][1]}" for runner in runners]

    async def stop() -> None:
        for runner in runners:
            await runner.cleanup()

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def send_file(
    request: web.Request, content: bytes, etag: str, more: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Answer a GET or HEAD with a file, or the range of it that was asked for.

    Args:
        request: May carry Range and If-Range.
        content: The file.
        etag: Its strong ETag, with quotes.
        more: Further headers.
    """
    size, headers = len(content), {"ETag": etag, "Accept-Ranges": "bytes", **(more or {})}
    start, end, status = 0, size, 200
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    if found and request.headers.get("If-Range", etag) == etag:
        start, end, status = int(found[1]), min(int(found[2] or size - 1) + 1, size), 206
        if start >= size:
            return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(end - start)})
    response.content_type = "application/octet-stream"
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    for at in range(start, end, _PIECE):
        await response.write(content[at : min(at + _PIECE, end)])
    return response
