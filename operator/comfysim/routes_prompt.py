"""Submitting, watching, cancelling: /prompt, /queue, /interrupt, /history and /free."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

from comfysim.validation import request_error, validate_prompt

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfysim.prompt_queue import Item
    from comfysim.server import PromptServer

log = logging.getLogger("comfysim")


def routes(server: PromptServer) -> list[web.RouteDef]:
    """Lists the routes.

    Args:
        server: Whose they are.

    Returns:
        Routes without the /api prefix.
    """
    handlers = PromptRoutes(server)
    return [
        web.get("/prompt", handlers.get_prompt),
        web.post("/prompt", handlers.post_prompt),
        web.get("/queue", handlers.get_queue),
        web.post("/queue", handlers.post_queue),
        web.post("/interrupt", handlers.post_interrupt),
        web.get("/history", handlers.get_history),
        web.get("/history/{prompt_id}", handlers.get_history_entry),
        web.post("/history", handlers.post_history),
        web.post("/free", handlers.post_free),
    ]


class PromptRoutes:
    """The handlers.

    ComfyUI 0.3.64 guards none of them: what is not JSON, or not of the expected shape, becomes a plain text 500.

    Args:
        server: Whose they are.
    """

    def __init__(self, server: PromptServer) -> None:
        self.server = server
        self.queue = server.prompt_queue
        self.runtime = server.runtime

    async def get_prompt(self, _: web.Request) -> web.Response:
        """Tells the queue's length."""
        return web.json_response(self.server.queue_info())

    async def post_prompt(self, request: web.Request) -> web.Response:
        """Validates and queues a graph.

        Its id is not checked at all: any value is made a string, and a second prompt of the same id runs as well.
        """
        log.info("got prompt")
        body = await request.json()
        switches = self.runtime.misbehaviour
        switches.read_file()
        if switches.take("refuse"):
            error = request_error(switches.switches.refuse_type, "comfysim: this prompt was asked to be refused")
            return web.json_response({"error": error, "node_errors": {}}, status=400)
        if "number" in body:
            number = float(body["number"])
        else:
            number = self.server.number
            if body.get("front"):
                number = -number
            self.server.number += 1
        if "prompt" not in body:
            error = request_error("no_prompt", "No prompt provided", "No prompt provided")
            return web.json_response({"error": error, "node_errors": {}}, status=400)
        prompt = body["prompt"]
        prompt_id = str(body.get("prompt_id", uuid.uuid4()))
        verdict = validate_prompt(self.runtime.catalog, prompt, body.get("partial_execution_targets"))
        extra_data = body.get("extra_data", {})
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        if verdict.error is not None:
            log.warning("invalid prompt: %s", verdict.error)
            return web.json_response({"error": verdict.error, "node_errors": verdict.node_errors}, status=400)
        self.queue.put((number, prompt_id, prompt, extra_data, verdict.outputs))
        return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})

    async def get_queue(self, _: web.Request) -> web.Response:
        """Shows running and pending items, whole."""
        running, pending = self.queue.get_current_queue()
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def post_queue(self, request: web.Request) -> web.Response:
        """Drops pending items; 200 whatever happened."""
        body = await request.json()
        if body.get("clear"):
            self.queue.wipe_queue()
        for prompt_id in body.get("delete", ()):
            self.queue.delete_queue_item(_has_id(prompt_id))
        return web.Response(status=200)

    async def post_interrupt(self, request: web.Request) -> web.Response:
        """Sets the interrupt flag: for an id only if it runs at this moment, without one for whatever runs."""
        try:
            body = await request.json()
        except ValueError:
            body = {}
        prompt_id = body.get("prompt_id")
        if prompt_id:
            running, _ = self.queue.get_current_queue()
            if not any(item[1] == prompt_id for item in running):
                log.info("Prompt %s is not currently running, skipping interrupt", prompt_id)
                return web.Response(status=200)
            log.info("Interrupting prompt %s", prompt_id)
        else:
            log.info("Global interrupt (no prompt_id specified)")
        self._interrupt()
        return web.Response(status=200)

    def _interrupt(self) -> None:
        switches = self.runtime.misbehaviour
        if switches.take("lose_interrupts"):
            return
        if switches.switches.interrupt_delay > 0:
            self.server.loop.call_later(switches.switches.interrupt_delay, self.runtime.interrupt.set)
        else:
            self.runtime.interrupt.set()

    async def get_history(self, request: web.Request) -> web.Response:
        """Shows the history, or its newest entries."""
        max_items = request.query.get("max_items")
        offset = request.query.get("offset")
        entries = self.queue.get_history(
            max_items=int(max_items) if max_items else None, offset=int(offset) if offset else -1
        )
        return web.json_response(entries)

    async def get_history_entry(self, request: web.Request) -> web.Response:
        """Shows one entry; an unknown id is an empty object, not an error."""
        return web.json_response(self.queue.get_history(prompt_id=request.match_info["prompt_id"]))

    async def post_history(self, request: web.Request) -> web.Response:
        """Forgets entries."""
        body = await request.json()
        if body.get("clear"):
            self.queue.wipe_history()
        for prompt_id in body.get("delete", ()):
            self.queue.delete_history_item(prompt_id)
        return web.Response(status=200)

    async def post_free(self, request: web.Request) -> web.Response:
        """Asks the worker to free memory after the current prompt."""
        body: dict[str, Any] = await request.json()
        for name in ("unload_models", "free_memory"):
            if body.get(name, False):
                self.queue.set_flag(name, value=bool(body[name]))
        return web.Response(status=200)


def _has_id(prompt_id: object) -> Callable[[Item], bool]:
    def matches(item: Item) -> bool:
        return item[1] == prompt_id

    return matches
