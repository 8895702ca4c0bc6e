"""Our clients and an API server that asks for patience; a real one does so only under a load that nobody can repeat."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from comfyard.kube.client import LightkubeClient
from comfyard.kube.errors import UnavailableError
from comfyard.kube.kinds import CONFIG_MAP
from comfyard.kube.paced_client import PacedClient
from comfyard.kube.rate_limit import RateLimiter

Request = Callable[[PacedClient], Coroutine[Any, Any, object]]

BUSY = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": "is starting", "code": 503}


def too_many(**headers: str) -> web.Response:
    """As priority and fairness says it: not a Status."""
    return web.Response(status=429, text="Too many requests, please try again later.\n", headers=headers)


def unavailable(**headers: str) -> web.Response:
    return web.json_response(BUSY, status=503, headers=headers)


class Busy:
    """An API server that refuses as often as it is told to, and then has one ConfigMap."""

    def __init__(self, refusals: list[web.Response]) -> None:
        self.refusals = refusals
        self.asked: list[tuple[str, float]] = []
        self.was_asked = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, time.monotonic()))
        self.was_asked.set()
        if self.refusals:
            return self.refusals.pop(0)
        config_map = {"metadata": {"name": "a", "namespace": "studio", "resourceVersion": "7"}}
        is_list = request.method == "GET" and request.path.endswith("configmaps")
        return web.json_response(
            {"metadata": {"resourceVersion": "7"}, "items": [config_map]} if is_list else config_map
        )

    def seconds(self) -> list[float]:
        """Between the first request and each later one."""
        return [at - self.asked[0][1] for _, at in self.asked[1:]]


@contextlib.asynccontextmanager
async def client_of(busy: Busy, folder: Path) -> AsyncIterator[PacedClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", busy.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    config = {
        "current-context": "busy",
        "contexts": [{"name": "busy", "context": {"cluster": "busy", "user": "nobody"}}],
        "clusters": [{"name": "busy", "cluster": {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}}],
        "users": [{"name": "nobody", "user": {}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    client = LightkubeClient.from_kubeconfig(folder / "kubeconfig", "tests")
    try:
        yield PacedClient(client, RateLimiter(per_second=1000, burst=1000), lambda: True)
    finally:
        await client.close()
        await runner.cleanup()


async def write(client: PacedClient) -> object:
    return await client.create(CONFIG_MAP, {"metadata": {"name": "a", "namespace": "studio"}})


async def delete(client: PacedClient) -> None:
    await client.delete(CONFIG_MAP, "a", "studio")


async def read(client: PacedClient) -> object:
    return await client.list(CONFIG_MAP, "studio")


@pytest.mark.parametrize("request_", [write, delete, read])
async def test_it_comes_again_when_it_was_told_to(request_: Request, tmp_path: Path) -> None:
    busy = Busy([too_many(**{"Retry-After": "1"})])
    async with client_of(busy, tmp_path) as client:
        await request_(client)
    [again] = busy.seconds()
    assert 1 <= again < 5


@pytest.mark.parametrize("request_", [write, delete, read])
@pytest.mark.parametrize("refuse", [too_many, unavailable])
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "Fri, 02 Jan 2026 03:04:05 GMT"}])
async def test_who_is_not_told_when_does_not_guess(
    request_: Request, refuse: Callable[..., web.Response], headers: dict[str, str], tmp_path: Path
) -> None:
    busy = Busy([refuse(**headers)])
    async with client_of(busy, tmp_path) as client:
        with pytest.raises(UnavailableError) as caught:
            await request_(client)
    assert caught.value.retry_after == 0
    assert len(busy.asked) == 1


async def test_nobody_writes_while_one_is_put_off_and_everybody_reads(tmp_path: Path) -> None:
    busy = Busy([too_many(**{"Retry-After": "1"})])
    async with client_of(busy, tmp_path) as client:
        first = asyncio.create_task(write(client))
        await busy.was_asked.wait()
        await read(client)  # two ways through the loop later than the refusal, which is in then
        await asyncio.gather(first, *(write(client) for _ in range(3)))
    assert [method for method, _ in busy.asked] == ["POST", "GET"] + ["POST"] * 4
    reading, *writing = busy.seconds()
    assert reading < 1 <= min(writing)


async def test_it_comes_again_as_often_as_it_is_told_to(tmp_path: Path) -> None:
    busy = Busy([unavailable(**{"Retry-After": "1"}), too_many(**{"Retry-After": "1"})])
    async with client_of(busy, tmp_path) as client:
        await write(client)
    second, third = busy.seconds()
    assert second >= 1
    assert third - second >= 1
