"""A source of files on loopback that can be told to misbehave; it runs in a thread of its own."""

import asyncio
import hashlib
import json
import re
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import web

from comfyard.store.transfer.intervals import Intervals, total, with_added

PIECE = 64 * 1024
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class Served:
    """One file and how it is served.

    Attributes:
        answers: Status and headers of the next answers, before there is a normal one.
        cuts: For each of the next answers: bytes after which the connection breaks off.
        validator: etag, weak, modified, none.
        rate: Bytes per second; 0: no limit.
        length: Content-Length that is claimed instead of the right one.
        stall_after: Offset in the file at which nothing more comes, until the client goes.
        stalls: For each of the next answers: bytes after which nothing more comes.
        others: Further contents, served in turn by answer: servers that disagree.
        most: Connections at the same time; further ones get 429. 0: no limit.
        leads_to: Another file, perhaps of another server, to which each request is sent on by a signed address.
        uses: Requests that one signature is good for; more get 403, and such with an Authorization 400.
        least_each: Bytes of a part, whatever larger one was asked for.
        silent: Whether no answer comes, until the client goes.
        spans: What was sent, by answer.
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
    stalls: list[int] = field(default_factory=list)
    encoding: str = ""
    chunked: bool = False
    on_sent: Callable[[int], None] = lambda _: None
    others: list[bytes] = field(default_factory=list)
    most: int = 0
    leads_to: "tuple[Source, str] | None" = None
    uses: int = 0
    least_each: int = 0
    silent: bool = False
    spans: list[list[int]] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0
    signatures: dict[str, int] = field(default_factory=dict)

    def sign(self) -> str:
        signature = secrets.token_hex(8)
        self.signatures[signature] = self.uses
        return signature

    def take_turn(self) -> "Served":
        """Who answers, when several servers do."""
        if self.others:
            self.content, self.others = self.others[0], [*self.others[1:], self.content]
        return self

    def sent_twice(self) -> int:
        """Bytes that went out more than once."""
        seen: Intervals = ()
        for first, end in self.spans:
            seen = with_added(seen, first, end)
        return sum(end - first for first, end in self.spans) - total(seen)

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
        requests: Headers of all requests.
        bodies: What came with them, where something did.
        clients: All connections that there were, with their sockets.
        sent: Bytes of content that went out, over all answers.
        piece: Bytes that are written at once.
        buffer: Bytes that may wait in a socket; 0: as many as the system likes.
    """

    base: str = ""
    files: dict[str, Served] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    clients: dict[asyncio.Transport, socket.socket] = field(default_factory=dict)
    sent: int = 0
    stalled: threading.Event = field(default_factory=threading.Event)
    piece: int = PIECE
    buffer: int = 0

    def serve(self, name: str, content: bytes, **how: Any) -> str:
        self.files[name] = Served(content, **how)
        return f"{self.base}/{name}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(dict(request.headers))
        if request.transport:
            self.clients[request.transport] = request.transport.get_extra_info("socket")
        if request.can_read_body:
            self.bodies.append(await request.read())
        served = self.files.get(request.path[1:])
        if served is None:
            return web.Response(status=404)
        if served.silent:
            self.stalled.set()
            await asyncio.Event().wait()
        if served.answers:
            status, headers = served.answers.pop(0)
            return web.Response(status=status, headers=headers)
        if served.leads_to:
            far, name = served.leads_to
            location = f"{far.base}/{name}?signature={far.files[name].sign()}"
            return web.Response(status=307, headers={"Location": location})
        if served.uses and (status := self._refusal(request, served)):
            return web.Response(status=status)
        served.busy += 1
        served.busiest = max(served.busiest, served.busy)
        try:
            if served.most and served.busy > served.most:
                return web.Response(status=429)
            return await self._send(request, served.take_turn())
        finally:
            served.busy -= 1

    @staticmethod
    def _refusal(request: web.Request, served: Served) -> int:
        """The status for a request whose signature is of no use; 0: it is good."""
        if "Authorization" in request.headers:
            return 400
        signature = request.query.get("signature", "")
        if not served.signatures.get(signature):
            return 403
        served.signatures[signature] -= 1
        return 0

    async def _send(self, request: web.Request, served: Served) -> web.StreamResponse:
        content = served.content
        start, status, size = 0, 200, len(content)
        end = size
        headers = served.validators()
        wanted = _RANGE.fullmatch(request.headers.get("Range", ""))
        fits = not served.honest_if_range or request.headers.get("If-Range") in {None, *served.validators().values()}
        if wanted and served.ranges and fits:
            start, end = int(wanted[1]) + served.shift, min(int(wanted[2] or size) + 1, size)
            if start >= size:
                return web.Response(status=416)
            end = min(end, start + (served.least_each or size))
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        if served.encoding:
            headers["Content-Encoding"] = served.encoding
        if not served.chunked:
            headers["Content-Length"] = str((served.length or end) - start)
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        await self._write(request, response, served, content[start : min(end, served.length or end)], start)
        return response

    async def _write(
        self, request: web.Request, response: web.StreamResponse, served: Served, content: bytes, start: int
    ) -> None:
        if self.buffer and request.transport:
            request.transport.set_write_buffer_limits(0)
        cut = served.cuts.pop(0) if served.cuts else None
        end = len(content) if cut is None else min(cut, len(content))
        stall = start + served.stalls.pop(0) if served.stalls else served.stall_after
        served.spans.append([start, start])
        span = served.spans[-1]
        for at in range(0, end, self.piece):
            if stall is not None and start + at >= stall:
                self.stalled.set()
                await asyncio.Event().wait()
            piece = content[at : min(at + self.piece, end)]
            span[1] += len(piece)
            self.sent += len(piece)  # before it arrives: the client may be faster than we are
            await response.write(piece)
            served.on_sent(self.sent)
            if served.rate:
                await asyncio.sleep(len(piece) / served.rate)
        broken = cut is not None or (served.length or 0) > len(served.content)
        if broken and request.transport is not None:
            request.transport.close()


@contextmanager
def running(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", buffer: int = 0) -> Iterator[Source]:
    """A server for the length of the block.

    Args:
        tls: Certificate and key, to serve https.
        host: The name in addresses.
        buffer: See Source.
    """
    source = Source(buffer=buffer, piece=buffer or PIECE)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{name:.*}", source.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0, access_log=None)
        await runner.setup()
        listening = socket.create_server(("127.0.0.1", 0))
        if buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)  # small windows of large segments stall
        await web.SockSite(runner, listening, ssl_context=tls).start()
        source.base = f"{'https' if tls else 'http'}://{host}:{listening.getsockname()[1]}"
        return runner

    async def stop(runner: web.AppRunner) -> None:
        await runner.cleanup()
        for client, connected in source.clients.items():
            if connected.fileno() >= 0:
                client.abort()  # it still holds what nobody will read
        await asyncio.sleep(0)

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield source
    finally:
        asyncio.run_coroutine_threadsafe(stop(runner), loop).result()
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
