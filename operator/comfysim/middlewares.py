"""What every request passes through: the origin check or CORS."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    import argparse

    from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def middlewares(args: argparse.Namespace) -> list[Middleware]:
    """Chooses the middlewares.

    Args:
        args: ComfyUI's arguments.

    Returns:
        CORS if asked for, else the origin check.
    """
    return [_cors(args.enable_cors_header)] if args.enable_cors_header else [origin_only]


def _cors(origin: str) -> Middleware:
    @web.middleware
    async def cors(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = web.Response() if request.method == "OPTIONS" else await handler(request)
        if not response.prepared:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Methods"] = "POST, GET, DELETE, PUT, OPTIONS, PATCH"
            response.headers["Access-Control-Allow-Headers"] = "Content-Type, Authorization"
            response.headers["Access-Control-Allow-Credentials"] = "true"
        return response

    return cors


@web.middleware
async def origin_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses a browser's cross-origin requests, but only those to a loopback host, as ComfyUI 0.3.64 does.

    Args:
        request: The request.
        handler: What answers it.

    Returns:
        403, or the handler's answer.
    """
    host, origin = request.headers.get("Host"), request.headers.get("Origin")
    if host and origin:
        asked, came_from = urlsplit(f"//{host.lower()}"), urlsplit(origin.lower())
        if _is_loopback(asked.hostname) and came_from.netloc:
            same_port = asked.port is None or came_from.port is None or asked.port == came_from.port
            if asked.hostname != came_from.hostname or not same_port:
                return web.Response(status=403)
    return await handler(request)


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
