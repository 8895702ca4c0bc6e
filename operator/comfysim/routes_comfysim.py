"""The stand-in's own paths under /comfysim/, which no ComfyUI has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from comfysim.runtime import Runtime


def routes(runtime: Runtime) -> list[web.RouteDef]:
    """Lists the routes.

    Args:
        runtime: The process' shared parts.

    Returns:
        The routes; they have no /api twin.
    """

    async def get_misbehave(_: web.Request) -> web.Response:
        runtime.misbehaviour.read_file()
        return web.json_response(runtime.misbehaviour.as_dict())

    async def post_misbehave(request: web.Request) -> web.Response:
        try:
            changes = await request.json()
            if not isinstance(changes, dict):
                return web.json_response({"error": "not an object"}, status=400)
            return web.json_response(runtime.misbehaviour.update(changes))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)

    async def get_record(_: web.Request) -> web.Response:
        return web.json_response({"boot": runtime.record.boot, "record": runtime.record.read()})

    return [
        web.get("/comfysim/misbehave", get_misbehave),
        web.post("/comfysim/misbehave", post_misbehave),
        web.get("/comfysim/record", get_record),
    ]
