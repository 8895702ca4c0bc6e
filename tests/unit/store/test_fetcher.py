"""Who waits for whom, what is tried again, and how it is stopped."""

import asyncio
import threading
from pathlib import Path

import httpx2
import pytest

from comfyard.api.model_bundle import Source as ApiSource
from comfyard.store.errors import NotFoundError, RateLimitedError, UnsupportedSourceError
from comfyard.store.fetcher import Fetcher, Step, in_thread
from comfyard.store.lock import LockedError, hold
from comfyard.store.retry import Backoff
from comfyard.store.stop import Stop
from comfyard.store.store import Store
from comfyard.store.wants import Want
from tests.unit.store.source_server import Source, noise, sha256

CONTENT = noise(3_000_000)


def want(url: str, path: str = "loras/a.bin") -> Want:
    return Want(path, ApiSource.model_validate({"http": {"url": url}}), sha256(CONTENT))


@pytest.fixture
def fetcher(store: Store, client: httpx2.Client) -> Fetcher:
    return Fetcher(store, client, parallel=3, backoff=Backoff(first=0.001, most=0.01))


async def test_it_goes_on_until_the_file_is_there(source: Source, fetcher: Fetcher) -> None:
    url = source.serve("x", CONTENT, answers=[(503, {}), (429, {"Retry-After": "0"})], cuts=[1_000_000, 0, 1_000_000])
    steps: list[Step] = []
    assert (await fetcher.ensure(want(url), steps.append)).sha256 == sha256(CONTENT)
    assert source.sent == len(CONTENT)
    assert steps[-1].received == len(CONTENT)
    assert [type(step.trouble).__name__ for step in steps if step.delay] == [
        "UnreachableError",
        "RateLimitedError",
        "UnreachableError",
        "UnreachableError",
        "UnreachableError",
    ]


async def test_a_source_may_ask_for_patience(source: Source, fetcher: Fetcher) -> None:
    url = source.serve("x", CONTENT, answers=[(429, {"Retry-After": "600"})])
    asked: asyncio.Future[Step] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(fetcher.ensure(want(url), lambda step: asked.set_result(step) if step.delay else None))
    step = await asked
    assert isinstance(step.trouble, RateLimitedError)
    assert step.delay == 600
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_for_good_is_raised_at_once(source: Source, fetcher: Fetcher) -> None:
    with pytest.raises(NotFoundError):
        await fetcher.ensure(want(f"{source.base}/nothing"), lambda _: None)
    assert len(source.requests) == 1
    with pytest.raises(UnsupportedSourceError):
        await fetcher.ensure(Want("loras/a.bin", ApiSource(), None), lambda _: None)


async def test_the_same_content_is_fetched_once(source: Source, fetcher: Fetcher) -> None:
    url = source.serve("x", CONTENT)
    paths = [f"loras/{number}.bin" for number in range(5)]
    stored = await asyncio.gather(*(fetcher.ensure(want(url, path), lambda _: None) for path in paths))
    assert {one.sha256 for one in stored} == {sha256(CONTENT)}
    assert len(source.requests) == 1


async def test_stopping_keeps_what_there_is(source: Source, fetcher: Fetcher, store: Store) -> None:
    url = source.serve("x", CONTENT, stall_after=2_500_000)
    moved = asyncio.Event()
    loop = asyncio.get_running_loop()

    def observe(step: Step) -> None:
        if step.received:
            loop.call_soon_threadsafe(moved.set)

    task = asyncio.ensure_future(fetcher.ensure(want(url), observe))
    await moved.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(list(store.layout.partial.iterdir())) == 2
    source.files["x"].stall_after = None
    await fetcher.ensure(want(url), observe)
    assert source.requests[-1]["Range"].startswith("bytes=")


async def test_a_thread_has_ended_when_its_caller_has() -> None:
    ended = threading.Event()
    started = threading.Event()

    def work(stop: Stop) -> None:
        asked = threading.Event()
        with stop.waking(asked.set):
            started.set()
            asked.wait()
        ended.set()

    task = asyncio.ensure_future(in_thread(work))
    await asyncio.to_thread(started.wait)
    task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_one_writer_at_a_time(tmp_path: Path) -> None:
    async with hold(tmp_path / "lock", 0):
        with pytest.raises(LockedError, match="second pod"):
            async with hold(tmp_path / "lock", 0.01):
                pass
    async with hold(tmp_path / "lock", 0):
        pass
