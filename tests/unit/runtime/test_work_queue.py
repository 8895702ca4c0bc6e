import asyncio
from collections.abc import Awaitable, Callable

from comfyard.runtime.work_queue import WorkQueue


async def drain(queue: WorkQueue[str], until: asyncio.Event, workers: int = 4) -> None:
    running = asyncio.create_task(queue.run(workers))
    try:
        async with asyncio.timeout(5):
            await until.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_key_is_never_worked_on_twice_at_a_time_and_additions_coalesce() -> None:
    runs: list[str] = []
    inside, most = 0, 0
    done, gate = asyncio.Event(), asyncio.Event()

    async def handle(key: str) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        runs.append(key)
        if len(runs) == 1:
            for _ in range(5):
                queue.add("a")  # while it is worked on: once more, not five times
            gate.set()
        await asyncio.sleep(0)
        inside -= 1
        if len(runs) == 2:
            done.set()

    queue: WorkQueue[str] = WorkQueue(handle)
    queue.add("a")
    queue.add("a")
    await drain(queue, done)
    assert gate.is_set()
    assert runs == ["a", "a"]
    assert most == 1


async def test_keys_are_worked_on_side_by_side() -> None:
    met = asyncio.Barrier(2)
    done = asyncio.Event()

    async def handle(_key: str) -> None:
        await met.wait()
        done.set()

    queue: WorkQueue[str] = WorkQueue(handle)
    queue.add("a")
    queue.add("b")
    await drain(queue, done)


async def test_a_key_that_failed_comes_back() -> None:
    tries: list[str] = []
    done = asyncio.Event()

    async def handle(key: str) -> None:
        tries.append(key)
        if len(tries) < 3:
            raise ValueError(key)
        done.set()

    queue: WorkQueue[str] = WorkQueue(handle)
    queue.add("a")
    await drain(queue, done)
    assert tries == ["a"] * 3


async def test_a_later_time_does_not_put_off_an_earlier_one() -> None:
    done = asyncio.Event()

    def handler() -> Callable[[str], Awaitable[None]]:
        async def handle(_key: str) -> None:
            done.set()

        return handle

    queue: WorkQueue[str] = WorkQueue(handler())
    queue.add_after("a", 0.01)
    queue.add_after("a", 60)
    await drain(queue, done)


async def test_urgent_keys_go_first_also_those_that_waited_before_they_were() -> None:
    runs: list[str] = []
    done = asyncio.Event()

    async def handle(key: str) -> None:
        runs.append(key)
        if len(runs) == 4:
            done.set()

    queue: WorkQueue[str] = WorkQueue(handle)
    for key in ("a", "b", "c"):
        queue.add(key)
    queue.add("d", urgent=True)
    queue.add("c", urgent=True)
    queue.add("d")  # is no less urgent for that
    await drain(queue, done, workers=1)
    assert runs == ["d", "c", "a", "b"]


async def test_a_key_that_becomes_urgent_while_it_is_worked_on_is_the_next() -> None:
    runs: list[str] = []
    done = asyncio.Event()

    async def handle(key: str) -> None:
        runs.append(key)
        if len(runs) == 1:
            queue.add("a", urgent=True)
            queue.add("a")
        if len(runs) == 3:
            done.set()

    queue: WorkQueue[str] = WorkQueue(handle)
    queue.add("a")
    queue.add("b")
    await drain(queue, done, workers=1)
    assert runs == ["a", "a", "b"]


async def test_work_without_any_io_lets_others_have_their_turn() -> None:
    turns: list[int] = []
    done = asyncio.Event()

    async def handle(key: int) -> None:
        if key == 99:
            done.set()

    async def other() -> None:
        while not done.is_set():
            turns.append(1)
            await asyncio.sleep(0)

    queue: WorkQueue[int] = WorkQueue(handle)
    for key in range(100):
        queue.add(key)
    running = [asyncio.create_task(queue.run(1)), asyncio.create_task(other())]
    async with asyncio.timeout(5):
        await running[1]
    running[0].cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert len(turns) > 50


async def test_urgent_keys_do_not_keep_the_others_waiting_for_ever() -> None:
    done = asyncio.Event()

    async def handle(key: str) -> None:
        if key == "urgent":
            queue.add("urgent", urgent=True)
        else:
            done.set()

    queue: WorkQueue[str] = WorkQueue(handle)
    queue.add("urgent", urgent=True)
    queue.add("other")
    await drain(queue, done, workers=1)
