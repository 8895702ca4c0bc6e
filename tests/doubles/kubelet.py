"""The real API server, with a kubelet behind it that can only do one thing: run commands in pods.

It stands in front of the API server and hands everything on, but for `exec`, which it answers as a kubelet does over
`v5.channel.k8s.io` (https://kubernetes.io/docs/reference/config-api, KEP-4006): the first byte of a message is its
channel: 1 stdout, 2 stderr, 3 the outcome as a metav1.Status.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientSession, TCPConnector, web
from yarl import URL

_STDOUT, _STDERR, _OUTCOME = b"\x01", b"\x02", b"\x03"
_PIECE = 32 * 1024
_KEPT = ("Authorization", "Content-Type", "Accept")


@dataclass
class Kubelet:
    """Runs commands on this machine, with a folder in the place of what the pod mounts.

    Attributes:
        server: Of the API server.
        ca: Its certificate authority, PEM.
        mount: Where the pod has mounted something.
        folder: That is used instead.
        breaks_after: Bytes of stdout, after which the connection is gone; None: it is not.
        ran: Every command, with the pod that it was run in.
    """

    server: str
    ca: str
    mount: str
    folder: Path
    breaks_after: int | None = None
    ran: list[tuple[str, list[str]]] = field(default_factory=list)

    def app(self) -> web.Application:
        """What is served."""
        app = web.Application(client_max_size=1 << 24)
        session = web.AppKey("session", ClientSession)

        async def keep_session(app: web.Application) -> AsyncIterator[None]:
            context = ssl.create_default_context(cadata=self.ca)
            async with ClientSession(connector=TCPConnector(ssl=context), auto_decompress=False) as opened:
                app[session] = opened
                yield

        async def hand_on(request: web.Request) -> web.StreamResponse:
            headers = {name: request.headers[name] for name in _KEPT if name in request.headers}
            url, body = URL(self.server + request.path_qs, encoded=True), await request.read()
            async with request.app[session].request(request.method, url, headers=headers, data=body) as answer:
                response = web.StreamResponse(status=answer.status)
                response.content_type = answer.content_type
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                return response

        app.cleanup_ctx.append(keep_session)
        app.router.add_get("/api/v1/namespaces/{namespace}/pods/{pod}/exec", self._exec)
        app.router.add_route("*", "/{path:.*}", hand_on)
        return app

    async def _exec(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await socket.prepare(request)
        command = request.query.getall("command")
        self.ran.append((request.match_info["pod"], command))
        here = [argument.replace(self.mount, str(self.folder), 1) for argument in command]
        process = await asyncio.create_subprocess_exec(
            *here, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert process.stdout
        assert process.stderr
        sent = 0
        while piece := await process.stdout.read(_PIECE):
            await socket.send_bytes(_STDOUT + piece)
            sent += len(piece)
            if self.breaks_after is not None and sent >= self.breaks_after:
                process.kill()
                await process.wait()
                await socket.close()
                return socket
        if said := await process.stderr.read():
            await socket.send_bytes(_STDERR + said)
        await socket.send_bytes(_OUTCOME + json.dumps(_status(await process.wait())).encode())
        await socket.close()
        return socket


def _status(code: int) -> dict[str, object]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    message = f"command terminated with non-zero exit code: {code}"
    failure = {"status": "Failure", "message": message, "reason": "NonZeroExitCode", "details": {"causes": causes}}
    return {"metadata": {}, **failure}
