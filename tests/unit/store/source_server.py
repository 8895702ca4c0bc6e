"""A source of files on loopback that can be told to misbehave; it runs in a thread of its own."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import web

PIECE = 64 * 1024


@dataclass
class Served:
    """One file and how it is served.

    Attributes:
        answers: Status and headers of the next answers, before there is a normal one.
        cuts: For each of the next answers: bytes after which the connection breaks off.
        validator: etag, weak, modified, none.
        rate: Bytes per second; 0: no limit.
        length: Content-Length that is claimed instead of the right one.
        stall_after: Bytes after which nothing more comes, until the client goes.
    """

    content: bytes
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    validator: str = "etag"
    ranges: bool = True
    honest_if_range: bool = True
    shift: int = 0
    rate: float = 0
    length: int | None = None
    stall_after: int | None = None
    encoding: str = ""
    chunked: bool = False
    on_sent: Callable[[int], None] = lambda _: None

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'

    @property
    def modified(self) -> str:
        return formatdate(1_700_000_000 + sum(self.content[:64]), usegmt=True)

    def validators(self) -> dict[str, str]:
        return {
            "etag": {"ETag": self.etag},
            "weak": {"ETag": f"W/{self.etag}", "Last-Modified": self.modified},
            "modified": {"Last-Modified": self.modified},
            "none": {},
        }[self.validator]


@dataclass
class Source:
    """The server.

    Attributes:
        sent: Bytes of content that went out, over all answers.
    """

    base: str = ""
    files: dict[str, Served] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    stalled: threading.Event = field(default_factory=threading.Event)

    def serve(self, name: str, content: bytes, **how: Any) -> str:
        self.files[name] = Served(content, **how)
        return f"{self.base}/{name}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(dict(request.headers))
        served = self.files.get(request.path[1:])
        if served is None:
            return web.Response(status=404)
        if served.answers:
            status, headers = served.answers.pop(0)
            return web.Response(status=status, headers=headers)
        return await self._send(request, served)

    async def _send(self, request: web.Request, served: Served) -> web.StreamResponse:
        start, status, size = 0, 200, len(served.content)
        headers = served.validators()
        wanted = request.headers.get("Range", "")
        fits = not served.honest_if_range or request.headers.get("If-Range") in served.validators().values()
        if wanted and served.ranges and fits:
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) + served.shift
            if start >= size:
                return web.Response(status=416)
            status = 206
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        if served.encoding:
            headers["Content-Encoding"] = served.encoding
        if not served.chunked:
            headers["Content-Length"] = str((served.length or size) - start)
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        await self._write(request, response, served, start)
        return response

    async def _write(self, request: web.Request, response: web.StreamResponse, served: Served, start: int) -> None:
        content = memoryview(served.content)[start : served.length]
        cut = served.cuts.pop(0) if served.cuts else None
        end = len(content) if cut is None else min(cut, len(content))
        for at in range(0, end, PIECE):
            if served.stall_after is not None and at >= served.stall_after:
                self.stalled.set()
                await asyncio.Event().wait()
            piece = content[at : min(at + PIECE, end)]
            await response.write(bytes(piece))
            self.sent += len(piece)
            served.on_sent(self.sent)
            if served.rate:
                await asyncio.sleep(len(piece) / served.rate)
        broken = cut is not None or (served.length or 0) > len(served.content)
        if broken and request.transport is not None:
            request.transport.close()


@contextmanager
def running() -> Iterator[Source]:
    """A server for the length of the block."""
    source = Source()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/{name:.*}", source.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        source.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield source
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes without a pattern, the same for the same seed."""
    return hashlib.shake_128(seed.to_bytes(8, "little")).digest(size)


def safetensors(size: int, seed: int = 0) -> bytes:
    """A well-formed file with one tensor of that many bytes."""
    tensor = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "weight": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + noise(size, seed)
