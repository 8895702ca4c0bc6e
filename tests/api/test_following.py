"""How the operator follows the jobs, with a real API server: LIST in pages, WATCH, and what heals what both missed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from comfyard.controller.settings import Settings
from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import GENERATION_JOB, POD
from comfyard.kube.paced_client import PacedClient
from comfyard.kube.rate_limit import RateLimiter
from comfyard.runtime.cache import Cache, Change
from comfyard.runtime.context import Context
from comfyard.runtime.following import follow, take_list
from tests.builders import ready

pytestmark = pytest.mark.api

MORE_THAN_A_PAGE = 230


def job(namespace: str, name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"name": "t"}, "profiles": ["p"]},
    }


class Heard:
    """What a context was told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._news = asyncio.Event()

    def __call__(self, change: Change) -> None:
        self.changes.append(change)
        self._news.set()

    def of(self, namespace: str) -> list[tuple[str, bool]]:
        """Names in a namespace, and whether they are gone."""
        return [(change.key[1], change.after is None) for change in self.changes if change.key[0] == namespace]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was heard makes something so."""
        async with asyncio.timeout(30):
            while not condition():
                self._news.clear()
                await self._news.wait()


def context(kube: LightkubeClient) -> tuple[Context, Heard]:
    client = PacedClient(kube, RateLimiter(per_second=1000, burst=1000), lambda: True)
    ctx, heard = Context(client, Cache([GENERATION_JOB, POD]), Settings(image="comfyard:1")), Heard()
    ctx.changed = heard
    return ctx, heard


async def test_all_are_listed_and_a_second_list_only_tells_what_differs(kube: LightkubeClient, namespace: str) -> None:
    names = [f"j{i}" for i in range(MORE_THAN_A_PAGE)]
    await asyncio.gather(*(kube.create(GENERATION_JOB, job(namespace, name)) for name in names))
    ctx, heard = context(kube)
    await take_list(ctx, GENERATION_JOB)
    assert set(ctx.cache.names(GENERATION_JOB, namespace)) == set(names)
    heard.changes.clear()
    await kube.delete(GENERATION_JOB, "j7", namespace)
    done = {"conditions": [{**ready()[0], "type": "Complete"}]}
    await kube.patch_status(GENERATION_JOB, "j8", namespace, done)
    await take_list(ctx, GENERATION_JOB)
    assert set(heard.of(namespace)) == {("j7", True), ("j8", False)}
    assert (namespace, "j8") not in ctx.cache.jobs.unfinished
    assert len(ctx.cache.jobs.unfinished.keys() & {(namespace, name) for name in names}) == MORE_THAN_A_PAGE - 2


async def test_changes_are_followed_and_our_own_writes_are_told_once(kube: LightkubeClient, namespace: str) -> None:
    ctx, heard = context(kube)
    following = asyncio.create_task(follow(ctx, GENERATION_JOB, await take_list(ctx, GENERATION_JOB)))
    made = await kube.create(GENERATION_JOB, job(namespace, "a"))
    await heard.until(lambda: ctx.cache.get(GENERATION_JOB, namespace, "a") is not None)
    heard.changes.clear()
    await ctx.write_status(GENERATION_JOB, made, {**made["status"], "observedGeneration": 1, "state": "Queued"})
    await kube.create(GENERATION_JOB, job(namespace, "b"))
    await heard.until(lambda: ctx.cache.get(GENERATION_JOB, namespace, "b") is not None)
    await kube.delete(GENERATION_JOB, "a", namespace)
    await heard.until(lambda: ctx.cache.get(GENERATION_JOB, namespace, "a") is None)
    following.cancel()
    assert heard.of(namespace) == [("a", False), ("b", False), ("a", True)]


async def test_a_version_that_the_api_server_has_forgotten_is_healed_by_a_list(
    kube: LightkubeClient, namespace: str
) -> None:
    await kube.create(GENERATION_JOB, job(namespace, "before"))
    ctx, heard = context(kube)
    following = asyncio.create_task(follow(ctx, GENERATION_JOB, "1"))
    await heard.until(lambda: ctx.cache.get(GENERATION_JOB, namespace, "before") is not None)
    await kube.create(GENERATION_JOB, job(namespace, "after"))
    await heard.until(lambda: ctx.cache.get(GENERATION_JOB, namespace, "after") is not None)
    following.cancel()
