"""Serves checkpoint-shaped files over HTTP: `python -m comfysim.modelhost --name sd15.safetensors --size 2G`.

For demos and tests of downloading. Every path whose last part is the name answers, with ranges, If-Range and a strong
ETag; nothing is stored, so the size costs nothing. Options:

    --name NAME       the file's name; its contents follow from name and size
    --size SIZE       its size, such as 300M or 2G
    --file NAME=SIZE  a further file; may be repeated
    --rate RATE       bytes per second and connection, such as 10M (not throttled)
    --listen, --port  where to serve (127.0.0.1:8000)
    --print-sha256    print the digests instead of serving
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import sys
from typing import TYPE_CHECKING

from aiohttp import web

from comfysim.checkpoint import Checkpoint, parse_size

if TYPE_CHECKING:
    from collections.abc import Sequence

RANGE = re.compile(r"bytes=(\d*)-(\d*)")
LAST_MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"
PER_SECOND = 20  # pieces of a throttled answer


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Reads a Range header.

    Args:
        header: Its value.
        size: Bytes of the file.

    Returns:
        First byte and the byte after the last one, or None where the header is to be ignored: several ranges, or no
        range of bytes.

    Raises:
        ValueError: The range lies outside of the file (416).
    """
    match = RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or end <= start:
        raise ValueError(f"{header} of {size}")
    return start, end


class ModelHost:
    """The handler for a set of files.

    Args:
        files: What there is, by name.
        rate: Bytes per second and connection; 0 is not throttled.
    """

    def __init__(self, files: dict[str, Checkpoint], rate: float = 0) -> None:
        self.files = files
        self.rate = rate

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Serves a file or a part of it.

        Args:
            request: GET or HEAD.

        Returns:
            200, 206, 304, 404 or 416.
        """
        file = self.files.get(request.path.rsplit("/", 1)[-1])
        if file is None:
            return web.Response(status=404, text="no such file\n")
        headers = {"ETag": file.etag, "Accept-Ranges": "bytes", "Last-Modified": LAST_MODIFIED}
        if file.etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        span: tuple[int, int] | None = None
        # A range is only for the file the client already has a part of.
        if request.headers.get("If-Range", file.etag) in (file.etag, LAST_MODIFIED):
            try:
                span = parse_range(request.headers.get("Range", ""), file.size)
            except ValueError:
                return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{file.size}"})
        start, end = span or (0, file.size)
        if span:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        response = web.StreamResponse(status=206 if span else 200, headers=headers)
        response.content_type = "application/octet-stream"
        response.content_length = end - start
        await response.prepare(request)
        if request.method != "HEAD":
            await self._send(response, file, start, end)
        return response

    async def _send(self, response: web.StreamResponse, file: Checkpoint, start: int, end: int) -> None:
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        step = max(1, int(self.rate / PER_SECOND)) if self.rate else end - start
        for piece in file.read(start, end):
            for offset in range(0, len(piece), step):
                part = piece[offset : offset + step]
                await response.write(part)
                sent += len(part)
                if self.rate:
                    await asyncio.sleep(began + sent / self.rate - loop.time())
        await response.write_eof()

    def app(self) -> web.Application:
        """Makes the application.

        Returns:
            It, answering GET and HEAD on every path.
        """
        app = web.Application()
        app.router.add_get("/{path:.*}", self.get)
        return app


async def serve(host: ModelHost, address: str, port: int) -> None:
    """Serves for ever.

    Args:
        host: What to serve.
        address: Where to listen.
        port: The port.
    """
    runner = web.AppRunner(host.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    sys.stderr.write(f"comfysim.modelhost: http://{address}:{port}/ has {', '.join(host.files)}\n")
    await asyncio.Event().wait()


def main(argv: Sequence[str]) -> int:
    """Runs the host.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="comfysim.modelhost", description="Serves checkpoint-shaped files.")
    parser.add_argument("--name", default="sd15-demo.safetensors")
    parser.add_argument("--size", type=parse_size, default=None)
    parser.add_argument("--file", action="append", default=[], metavar="NAME=SIZE")
    parser.add_argument("--rate", type=parse_size, default=0)
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--print-sha256", action="store_true")
    args = parser.parse_args(argv)
    files: dict[str, Checkpoint] = {}
    try:
        if args.size is not None or not args.file:
            files[args.name] = Checkpoint(args.name, args.size or parse_size("64M"))
        for text in args.file:
            name, _, size = text.partition("=")
            files[name] = Checkpoint(name, parse_size(size))
    except (ValueError, argparse.ArgumentTypeError) as error:
        parser.error(str(error))
    if args.print_sha256:
        for name, file in files.items():
            sys.stdout.write(f"{file.sha256()}  {name}\n")
        return 0
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(ModelHost(files, args.rate), args.listen, args.port))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
