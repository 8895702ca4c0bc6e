"""ComfyUI's WebSocket: what happens there, as it happens. Nothing is replayed and much can be missed.

A reader that stops reading blocks ComfyUI's events for every client and piles them up in its memory: this one always
reads on, and throws previews away. ComfyUI unregisters the newest of two sockets of one client when the older one
closes: so the old one is closed completely before the next is opened.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from comfyard.comfyui.progress import Progress, PromptProgress

log = logging.getLogger(__name__)

_RECONNECT_SECONDS = 0.25
_LARGEST_FRAME: Final = 64 * 1024 * 1024


class Feed:
    """The events of one server for one client id.

    Attributes:
        activity: Grows with every event about an execution; unchanged means that nothing moves, or nothing is heard.
        connections: Grows with every connection; another number means that the server may be another process.
        connected: Whether there is a connection now.
    """

    def __init__(self, url: str, client_id: str) -> None:
        self.activity = 0
        self.connections = 0
        self.connected = False
        self._url = f"{url.replace('http', 'ws', 1)}/ws?clientId={quote(client_id)}"
        self._prompts: dict[str, PromptProgress] = {}
        self._nudge = asyncio.Event()

    def follow(self, prompt_id: str, graph: Mapping[str, Any]) -> None:
        """Keep the progress of a prompt from now on."""
        self._prompts.setdefault(prompt_id, PromptProgress(graph))

    def unfollow(self, prompt_id: str) -> None:
        """Forget a prompt."""
        self._prompts.pop(prompt_id, None)

    def progress(self, prompt_id: str) -> Progress:
        """How far a followed prompt is."""
        found = self._prompts.get(prompt_id)
        return found.now() if found else Progress()

    async def nudged(self, seconds: float) -> None:
        """Wait until it is worth a look whether a prompt has ended, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # wait_for of Python 3.11 swallows a cancellation at the wrong moment
                await self._nudge.wait()
        self._nudge.clear()

    async def run(self) -> None:
        """Stay connected and read until cancelled."""
        while True:
            with contextlib.suppress(OSError, InvalidHandshake, WebSocketException, TimeoutError):
                await self._read()
            if self.connected:
                log.info("ComfyUI has closed its event socket")
            self.connected = False
            self._nudge.set()
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _read(self) -> None:
        # Our pings keep it open, ComfyUI sends none; it is on loopback, so neither proxy nor compression.
        async with connect(self._url, max_size=_LARGEST_FRAME, proxy=None, compression=None) as socket:
            self.connections += 1
            self.connected = True
            self._nudge.set()
            await self._drain(socket)

    async def _drain(self, socket: ClientConnection) -> None:
        async for frame in socket:
            if isinstance(frame, bytes):
                self.activity += 1  # a preview picture, or text of a node
                continue
            with contextlib.suppress(ValueError):
                event = json.loads(frame)
                if isinstance(event, dict) and isinstance(event.get("data"), dict):
                    self._see(str(event.get("type")), event["data"])

    def _see(self, kind: str, data: Mapping[str, Any]) -> None:
        if "prompt_id" not in data:
            return  # status of the queue, logs, what custom nodes send
        self.activity += 1
        prompt = self._prompts.get(str(data["prompt_id"]))
        if prompt:
            prompt.see(kind, data)
        # Follows each of the events that tell how a prompt ended; only then the history is certain to have it.
        if kind == "executing" and data.get("node") is None:
            self._nudge.set()
