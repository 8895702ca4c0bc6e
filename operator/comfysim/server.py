"""The HTTP and WebSocket server: one asyncio loop, and messages that the worker thread hands to it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import struct
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError, WSMsgType, web

from comfysim import routes_comfysim, routes_files, routes_info, routes_prompt
from comfysim.middlewares import middlewares
from comfysim.prompt_queue import PromptQueue

if TYPE_CHECKING:
    from PIL import Image

    from comfysim.json_types import Json
    from comfysim.logs import LogInterceptor
    from comfysim.runtime import Runtime

log = logging.getLogger("comfysim")

PREVIEW_IMAGE = 1
UNENCODED_PREVIEW_IMAGE = 2
PREVIEW_IMAGE_WITH_METADATA = 4
JPEG = 1
SOCKET_ERRORS = (ClientError, ConnectionError)


class PromptServer:
    """One server process' HTTP side.

    Args:
        runtime: The process' shared parts.
        logs: What was written to standard error.

    Attributes:
        client_id: Whose prompt runs.
        last_node_id: The node at work.
        number: The default queue number of the next prompt.
        sockets: WebSockets by client id. A second one of the same id replaces the first, and when the *first* closes
            the second is silently forgotten, as in ComfyUI 0.3.64.
    """

    def __init__(self, runtime: Runtime, logs: LogInterceptor) -> None:
        self.runtime = runtime
        self.logs = logs
        self.loop = asyncio.get_running_loop()
        self.messages: asyncio.Queue[tuple[str | int, Any, Any]] = asyncio.Queue()
        self.prompt_queue = PromptQueue(self.queue_updated)
        self.client_id: Any = None
        self.last_node_id: str | None = None
        self.number = 0
        self.sockets: dict[Any, web.WebSocketResponse] = {}
        self.sockets_metadata: dict[Any, dict[str, Any]] = {}
        size = round(runtime.args.max_upload_size * 1024 * 1024)
        self.app = web.Application(client_max_size=size, middlewares=middlewares(runtime.args))
        self._add_routes()

    def _add_routes(self) -> None:
        routes = [
            *routes_prompt.routes(self),
            *routes_info.routes(self),
            *routes_files.routes(self),
            web.get("/ws", self.websocket),
        ]
        self.app.add_routes(routes)
        self.app.add_routes([web.RouteDef(r.method, f"/api{r.path}", r.handler, r.kwargs) for r in routes])
        self.app.add_routes(routes_info.internal_routes(self))
        self.app.add_routes(routes_comfysim.routes(self.runtime))

    def features(self) -> dict[str, Any]:
        """Tells what a client may negotiate.

        Returns:
            The feature flags of this server.
        """
        size = round(self.runtime.args.max_upload_size * 1024 * 1024)
        return {"supports_preview_metadata": True, "max_upload_size": size}

    def wants_preview_metadata(self, sid: Json) -> bool:
        """Whether that client negotiated previews with metadata.

        Args:
            sid: The client id.

        Returns:
            False also for a client that is not there.
        """
        flags = self.sockets_metadata.get(sid, {}).get("feature_flags", {})
        return bool(flags.get("supports_preview_metadata"))

    def queue_info(self) -> dict[str, Any]:
        """Gives the body of GET /prompt and of status messages.

        Returns:
            The number of pending and running prompts.
        """
        return {"exec_info": {"queue_remaining": self.prompt_queue.get_tasks_remaining()}}

    def queue_updated(self) -> None:
        """Tells everybody that the queue's length changed."""
        self.send_sync("status", {"status": self.queue_info()})

    def send_sync(self, event: str | int, data: Json, sid: Json = None) -> None:
        """Hands a message to the loop, from any thread.

        Args:
            event: The type of a text frame, or the number of a binary one.
            data: Its data.
            sid: Whom to; everybody if None.
        """
        self.loop.call_soon_threadsafe(self.messages.put_nowait, (event, data, sid))

    async def publish_loop(self) -> None:
        """Sends messages for ever, one after the other.

        An exception here, such as from a client id that is no string, ends the process, as in ComfyUI 0.3.64.
        """
        while True:
            event, data, sid = await self.messages.get()
            await self.send(event, data, sid)

    async def send(self, event: str | int, data: Json, sid: Json = None) -> None:
        """Sends one message.

        Args:
            event: As for `send_sync`.
            data: Its data.
            sid: Whom to.
        """
        if isinstance(event, str):
            text = json.dumps({"type": event, "data": data})
            for socket in self._receivers(sid):
                try:
                    await socket.send_str(text)
                except SOCKET_ERRORS as error:
                    log.warning("send error: %s", error)
            return
        frame = binary_frame(event, data, self.runtime.args.preview_size)
        for socket in self._receivers(sid):
            try:
                await socket.send_bytes(frame)
            except SOCKET_ERRORS as error:
                log.warning("send error: %s", error)

    def _receivers(self, sid: Json) -> list[web.WebSocketResponse]:
        if sid is None:
            return list(self.sockets.values())
        return [self.sockets[sid]] if sid in self.sockets else []

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Answers GET /ws.

        Args:
            request: With `clientId`, or else the server mints one.

        Returns:
            The socket, when it has been closed.
        """
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sid = request.query.get("clientId", "")
        if sid:
            self.sockets.pop(sid, None)
        else:
            sid = uuid.uuid4().hex
        self.sockets[sid] = socket
        self.sockets_metadata[sid] = {"feature_flags": {}}
        try:
            await self.send("status", {"status": self.queue_info(), "sid": sid}, sid)
            if self.client_id == sid and self.last_node_id is not None:
                await self.send("executing", {"node": self.last_node_id}, sid)
            first = True
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self._from_client(sid, message.data, first=first)
                    first = False
        finally:
            self.sockets.pop(sid, None)
            self.sockets_metadata.pop(sid, None)
        return socket

    async def _from_client(self, sid: str, text: str, *, first: bool) -> None:
        try:
            data = json.loads(text)
            if first and data.get("type") == "feature_flags":
                self.sockets_metadata[sid]["feature_flags"] = data.get("data", {})
                await self.send("feature_flags", self.features(), sid)
        except (ValueError, AttributeError) as error:
            log.warning("Invalid message from client %s: %s", sid, error)


def binary_frame(event: int, data: Json, size: int) -> bytes:
    """Encodes a preview.

    Args:
        event: PREVIEW_IMAGE_WITH_METADATA with a picture and its metadata, or UNENCODED_PREVIEW_IMAGE with a picture,
            which goes out as PREVIEW_IMAGE.
        data: The picture.
        size: Its longest edge.

    Returns:
        The frame, its numbers big-endian.
    """
    if event == PREVIEW_IMAGE_WITH_METADATA:
        picture, metadata = data
        text = json.dumps({**metadata, "image_type": "image/jpeg"}).encode()
        return struct.pack(">II", event, len(text)) + text + _jpeg(picture, size)
    return struct.pack(">II", PREVIEW_IMAGE, JPEG) + _jpeg(data, size)


def _jpeg(picture: Image.Image, size: int) -> bytes:
    if max(picture.size) > size:
        picture.thumbnail((size, size))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=95, compress_level=1)
    return buffer.getvalue()
