"""What kubelet asks: /readyz, may this server be given jobs; /livez, is the agent itself alive."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def serve(port: int, trouble: Callable[[], Awaitable[str]], moves: Callable[[], bool]) -> AsyncIterator[None]:
    """Answer probes inside the block.

    Args:
        port: On all addresses: kubelet asks from the node.
        trouble: Why no jobs should come, empty when they should.
        moves: Whether the main loop still turns.
    """

    async def readyz(_: web.Request) -> web.Response:
        reason = await trouble()
        return web.Response(text=reason or "ok", status=503 if reason else 200)

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok") if moves() else web.Response(text="the main loop is stuck", status=503)

    application = web.Application()
    application.add_routes([web.get("/readyz", readyz), web.get("/livez", livez)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104
        yield
    finally:
        await runner.cleanup()
