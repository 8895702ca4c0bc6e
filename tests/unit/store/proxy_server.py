"""A forwarding proxy on loopback: CONNECT for https, whole addresses for http."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """The proxy.

    Attributes:
        asked: First line and headers of each request, as it came.
        password: What Proxy-Authorization must carry; empty: it need not be there.
    """

    address: str = ""
    asked: list[str] = field(default_factory=list)
    password: str = ""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            method, target, _ = head.split(" ", 2)
            if self.password and f"Basic {self.password}" not in head:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            elif method == "CONNECT":
                host, port = target.rsplit(":", 1)
                await self._join(reader, writer, host, int(port), b"")
            else:
                to = urlsplit(target)
                path = f"{to.path}?{to.query}" if to.query else to.path
                sent = head.replace(target, path, 1).replace("\r\n", "\r\nConnection: close\r\n", 1)
                await self._join(reader, writer, to.hostname or "", to.port or 80, sent.encode())
        writer.close()

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, first: bytes
    ) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        self.writers.append(far_writer)
        if first:
            far_writer.write(first)
        else:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = asyncio.ensure_future(_pump(far_reader, writer))
        await _pump(reader, far_writer)
        await back


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    writer.close()


@contextmanager
def proxying(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Proxy]:
    """A proxy for the length of the block."""
    proxy = Proxy()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0, ssl=tls)
        proxy.address = f"{host}:{server.sockets[0].getsockname()[1]}"
        return server

    async def stop(server: asyncio.Server) -> None:
        server.close()
        for writer in proxy.writers:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0)), *others])

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
