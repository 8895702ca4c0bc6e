"""Who waits for whom, what is tried again, and how it is stopped."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from comfyard.api.model_bundle import Source as ApiSource
from comfyard.store.errors import InUseError, NoSpaceError, NotFoundError, RateLimitedError, UnsupportedSourceError
from comfyard.store.fetcher import Fetcher, Step
from comfyard.store.http.web import Web
from comfyard.store.lock import LockedError, hold
from comfyard.store.retry import Backoff
from comfyard.store.stop import Stop
from comfyard.store.store import Store
from comfyard.store.threads import in_thread
from comfyard.store.wants import Stored, Want
from tests.unit.store.downloads import tmpfs
from tests.unit.store.source_server import Source, noise, sha256

CONTENT = noise(3_000_000)
QUICK = Backoff(first=0.001, most=0.01, look=0.01)


def want(url: str, path: str = "loras/a.gguf", content: bytes = CONTENT) -> Want:
    return Want(path, ApiSource.model_validate({"http": {"url": url}}), sha256(content))


@pytest.fixture
def fetcher(store: Store, web: Web) -> Fetcher:
    return Fetcher(store, web, parallel=3, backoff=QUICK)


class Watch:
    """The steps of one file, and waiting for one of some kind."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._loop = asyncio.get_running_loop()
        self._came = asyncio.Event()

    def __call__(self, step: Step) -> None:
        self.steps.append(step)
        self._loop.call_soon_threadsafe(self._came.set)

    async def until(self, fits: Callable[[Step], object]) -> Step:
        while not (found := [step for step in self.steps if fits(step)]):
            self._came.clear()
            await self._came.wait()
        return found[0]


async def end(task: "asyncio.Task[object]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


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
    watch = Watch()
    task = asyncio.create_task(fetcher.ensure(want(url), watch))
    step = await watch.until(lambda step: step.delay)
    assert isinstance(step.trouble, RateLimitedError)
    assert step.delay == 600
    await end(task)


async def test_what_is_for_good_is_raised_at_once(source: Source, fetcher: Fetcher) -> None:
    with pytest.raises(NotFoundError):
        await fetcher.ensure(want(f"{source.base}/nothing"), lambda _: None)
    assert len(source.requests) == 1
    with pytest.raises(UnsupportedSourceError):
        await fetcher.ensure(Want("loras/a.gguf", ApiSource(), None), lambda _: None)


async def test_the_same_content_is_fetched_once(source: Source, fetcher: Fetcher) -> None:
    url = source.serve("x", CONTENT)
    paths = [f"loras/{number}.gguf" for number in range(5)]
    stored = await asyncio.gather(*(fetcher.ensure(want(url, path), lambda _: None) for path in paths))
    assert {one.sha256 for one in stored} == {sha256(CONTENT)}
    assert len(source.requests) == 1


async def test_stopping_keeps_what_there_is(source: Source, fetcher: Fetcher, store: Store) -> None:
    url = source.serve("x", CONTENT, stall_after=2_500_000)
    watch = Watch()
    task = asyncio.create_task(fetcher.ensure(want(url), watch))
    await watch.until(lambda step: step.received)
    await end(task)
    assert len(list(store.layout.partial.iterdir())) == 2
    source.files["x"].stall_after = None
    await fetcher.ensure(want(url), watch)
    assert "If-Range" in source.requests[-1]


async def test_sizes_are_known_while_files_wait(source: Source, store: Store, web: Web) -> None:
    fetcher = Fetcher(store, web, parallel=1, backoff=QUICK)
    watches = [Watch() for _ in range(3)]
    files = [noise(3_000_000 + number, seed=number) for number in range(3)]
    urls = [source.serve(f"{number}", file) for number, file in enumerate(files)]
    source.files["0"].stalls.append(1_000_000)
    tasks: list[asyncio.Task[Stored]] = []
    for number, (url, file, watch) in enumerate(zip(urls, files, watches, strict=True)):
        one = want(url, f"loras/{number}.gguf", file)
        tasks.append(asyncio.create_task(fetcher.ensure(one, watch)))
        await asyncio.to_thread(source.stalled.wait)  # the first one has the only slot before the others come
    for number in (1, 2):
        step = await watches[number].until(lambda step: step.progress.size)
        assert (step.stage, step.progress.size, step.progress.bytes) == ("Waiting", 3_000_000 + number, 0)
    assert [request["Range"] for request in source.requests].count("bytes=0-0") == 2
    await end(tasks[0])
    assert {(await task).size for task in tasks[1:]} == {3_000_001, 3_000_002}


async def test_what_cannot_be_measured_is_fetched_all_the_same(source: Source, store: Store, web: Web) -> None:
    fetcher = Fetcher(store, web, parallel=1, backoff=QUICK)
    first = Watch()
    task = asyncio.create_task(fetcher.ensure(want(source.serve("x", CONTENT, stalls=[0])), first))
    await asyncio.to_thread(source.stalled.wait)
    other = noise(1000, seed=1)
    url = source.serve("y", other, answers=[(503, {})])
    waiting = asyncio.create_task(fetcher.ensure(want(url, "loras/b.gguf", other), lambda _: None))
    while source.files["y"].answers:  # noqa: ASYNC110 - the server's thread has no event of ours
        await asyncio.sleep(0)
    await end(task)
    assert (await waiting).size == 1000


async def test_who_waits_can_be_stopped_while_measured(source: Source, store: Store, web: Web) -> None:
    fetcher = Fetcher(store, web, parallel=1, backoff=QUICK)
    first = asyncio.create_task(fetcher.ensure(want(source.serve("x", CONTENT, stalls=[0])), lambda _: None))
    await asyncio.to_thread(source.stalled.wait)
    source.stalled.clear()
    second = asyncio.create_task(fetcher.ensure(want(source.serve("y", b"", silent=True), "loras/b.gguf"), Watch()))
    await asyncio.to_thread(source.stalled.wait)
    await end(second)
    await end(first)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Store]:
    """A store on a volume of 64 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs")
    with tmpfs(tmp_path / "volume", "64m") as volume:
        made = Store(volume)
        made.layout.prepare()
        yield made


async def test_room_is_waited_for_and_all_that_is_missing_is_told(source: Source, web: Web, small: Store) -> None:
    fetcher = Fetcher(small, web, parallel=1, backoff=QUICK)
    ballast = small.layout.root / "ballast"
    ballast.write_bytes(bytes(24 * 1024 * 1024))
    one, two = noise(12_000_000), noise(15_000_000, seed=1)
    urls = source.serve("one", one), source.serve("two", two)
    watches = Watch(), Watch()
    tasks = [
        asyncio.create_task(fetcher.ensure(want(url, f"loras/{path}.gguf", content), watch))
        for url, path, content, watch in zip(urls, "ab", (one, two), watches, strict=True)
    ]
    step = await watches[0].until(lambda step: "12 MB are needed, and 15 MB for files" in str(step.trouble))
    assert isinstance(step.trouble, NoSpaceError)
    assert (step.stage, step.delay, step.trouble.needed) == ("Waiting", QUICK.look, 12_000_000)
    await watches[1].until(lambda step: isinstance(step.trouble, NoSpaceError))
    requests = len(source.requests)
    again = len(watches[0].steps) + 3
    await watches[0].until(lambda _: len(watches[0].steps) >= again)
    assert len(source.requests) == requests  # nobody is asked as long as there is no room
    ballast.unlink()
    assert (await tasks[0]).size == 12_000_000
    assert {type(step.trouble) for step in watches[0].steps if step.trouble} == {NoSpaceError}
    (small.layout.root / "loras" / "a.gguf").unlink()
    (small.layout.blobs / sha256(one)).unlink()
    assert (await tasks[1]).size == 15_000_000


async def test_where_what_is_needed_is_not_known_more_room_is_worth_another_try(
    source: Source, web: Web, small: Store
) -> None:
    fetcher = Fetcher(small, web, parallel=1, backoff=Backoff(first=0.001, most=1e9, look=0.01))
    ballast = small.layout.root / "ballast"
    ballast.write_bytes(bytes(55 * 1024 * 1024))
    content = noise(12_000_000)
    url = source.serve("x", content, chunked=True, ranges=False)
    watch = Watch()
    task = asyncio.create_task(fetcher.ensure(want(url, content=content), watch))
    step = await watch.until(lambda step: step.trouble)
    assert isinstance(step.trouble, NoSpaceError)
    assert step.trouble.needed is None
    ballast.unlink()
    assert (await task).size == 12_000_000


async def test_what_is_in_use_is_waited_for_beside_it(source: Source, fetcher: Fetcher, store: Store) -> None:
    await fetcher.ensure(want(source.serve("x", CONTENT)), lambda _: None)
    other = noise(1000, seed=1)
    one = want(source.serve("y", other), content=other)
    watch = Watch()
    task = asyncio.create_task(fetcher.ensure(one, watch, replace=False))
    step = await watch.until(lambda step: step.trouble)
    assert isinstance(step.trouble, InUseError)
    assert step.delay == QUICK.look
    assert (store.layout.root / one.path).read_bytes() == CONTENT
    await end(task)
    with pytest.raises(InUseError):
        await fetcher.settle(one, replace=False)
    stored = await fetcher.settle(one)
    assert stored is not None
    assert stored.sha256 == sha256(other)
    assert len(source.requests) == 2


async def test_what_is_verified_is_read_and_what_is_wrong_is_gone(
    source: Source, fetcher: Fetcher, store: Store
) -> None:
    one = want(source.serve("x", CONTENT))
    before = await fetcher.ensure(one, lambda _: None)
    watch = Watch()
    after = await fetcher.verify(one, watch)
    assert after is not None
    assert after.verified > before.verified
    assert {step.stage for step in watch.steps} == {"Verifying"}
    with (store.layout.root / one.path).open("r+b") as file:
        file.write(b"rot")
    assert await fetcher.verify(one, watch) is None
    assert (await fetcher.ensure(one, watch)).sha256 == sha256(CONTENT)


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
