"""Who is told why it waits, in which order, and how many at a time."""

from dataclasses import dataclass
from itertools import islice

from comfyard.controller.pools import Pool
from comfyard.controller.queue import Demand, PoolKey, Queue
from comfyard.runtime.waits import Waits, nearest

POOL = Pool("studio", "l4", ("models",), "results")
KEY: PoolKey = ("studio", POOL.name)


@dataclass
class Clock:
    """A time that passes when it is told to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def demand(name: str, priority: int = 0, models: str = "a", pool: Pool = POOL) -> Demand:
    return Demand((pool.namespace, name), pool, priority, "2026-01-02T03:04:00Z", frozenset({models}))


def line(*names: str) -> Queue:
    queue = Queue()
    for name in names:
        queue.put(demand(name))
    return queue


def told(waits: Waits, queue: Queue) -> list[str]:
    return [name for _, name in waits.due(queue)]


def test_a_job_that_gets_a_server_soon_is_never_told() -> None:
    clock, queue = Clock(), line("a", "b")
    waits = Waits(clock)
    waits.queued(("studio", "a"))
    waits.queued(("studio", "b"))
    assert told(waits, queue) == []
    queue.discard(("studio", "a"))
    waits.forget(("studio", "a"))
    clock.now += 2
    assert "b" in told(waits, queue)
    assert "a" not in told(waits, queue)
    assert len(waits) == 0


def test_what_waits_for_something_else_is_told_first_and_at_once() -> None:
    clock, queue = Clock(), line("a")
    waits = Waits(clock)
    waits.queued(("studio", "a"))
    clock.now += 2
    waits.pending(("studio", "b"))
    assert told(waits, queue)[0] == "b"


def test_another_reason_is_for_all_jobs_of_its_pool_the_first_ones_first() -> None:
    clock, queue = Clock(), line(*(f"{i:03}" for i in range(150)))
    waits = Waits(clock)
    waits.see(queue, {KEY: "busy"})
    assert sorted(told(waits, queue)[100:]) == [f"{i:03}" for i in range(150)]
    waits.see(queue, {KEY: "busy"})
    assert len(waits) == 0
    waits.see(queue, {KEY: "starting"})
    assert told(waits, queue)[:3] == ["000", "001", "002"]
    other: PoolKey = ("studio", "other")
    waits.see(queue, {KEY: "starting", other: "busy"})
    assert len(waits) == 0


def test_a_new_job_is_not_told_earlier_because_the_reason_changes() -> None:
    clock, queue = Clock(), line("a")
    waits = Waits(clock)
    waits.queued(("studio", "a"))
    waits.see(queue, {KEY: "busy"})
    assert told(waits, queue) == []
    clock.now += 2
    assert "a" in told(waits, queue)


def test_who_was_not_told_is_not_forgotten() -> None:
    clock, queue = Clock(), Queue()
    waits = Waits(clock)
    for name in ("a", "b", "c"):
        waits.pending(("studio", name))
    assert [key[1] for key in islice(waits.due(queue), 2)] == ["a", "b"]
    assert told(waits, queue) == ["b", "c"]


def test_few_are_told_at_a_time_and_fewer_while_jobs_get_servers() -> None:
    clock = Clock()
    waits = Waits(clock)
    waits.spend(waits.allowance())
    assert waits.allowance() == 0
    clock.now += 2
    assert waits.allowance() == 40
    waits.spend(40)
    waits.assigned(100)
    clock.now += 1.5
    assert waits.allowance() == 7
    clock.now += 1000
    assert waits.allowance() == 50


def test_the_flow_of_jobs_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    waits = Waits(clock)
    for _ in range(1000):
        clock.now += 0.1
        waits.assigned(4)
    assert 39 < waits.flow() < 42
    clock.now += 30
    assert waits.flow() < 0.2


def test_who_is_served_soon_is_told_later_and_only_if_it_still_waits() -> None:
    clock, queue = Clock(), line(*"abcdefgh")
    waits = Waits(clock)
    waits.see(queue, {KEY: "busy"})
    waits.assigned(6)
    assert sorted(set(told(waits, queue))) == ["g", "h"]
    queue.discard(("studio", "a"))
    waits.forget(("studio", "a"))
    clock.now += 30
    assert {"b", "f"} <= set(told(waits, queue))
    assert len(waits) == 0


def test_a_job_now_and_then_says_nothing_of_the_next() -> None:
    clock, queue = Clock(), line("a")
    waits = Waits(clock)
    waits.assigned(1)
    waits.queued(("studio", "a"))
    clock.now += 1
    assert "a" in told(waits, queue)


def test_the_nearest_of_each_line_are_in_order_whatever_they_load() -> None:
    queue = Queue()
    other = Pool("other", "l4", ("models",), "results")
    for i in range(120):
        queue.put(demand(f"{i:03}", models="ab"[i % 2]))
    queue.put(demand("urgent", priority=5))
    queue.put(demand("elsewhere", pool=other))
    found = nearest(queue, soon=0)
    assert found[:3] == [("studio", "urgent"), ("studio", "000"), ("studio", "001")]
    assert found[99] == ("studio", "098")
    assert found[100:] == [("other", "elsewhere")]
    assert nearest(queue, soon=99) == [("studio", "098")]
    assert nearest(queue, soon=500) == []
