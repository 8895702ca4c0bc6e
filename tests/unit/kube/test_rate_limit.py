import asyncio
from collections.abc import Sequence

import pytest

from comfyard.kube.rate_limit import Priority, RateLimiter
from tests.unit.virtual_time import run

DECISION, NORMAL, TEXT = Priority


async def through(limiter: RateLimiter, wanted: Sequence[Priority]) -> list[tuple[float, Priority, int]]:
    """Time, priority and number of each, in the order in which they got through."""
    done = []

    async def one(number: int, priority: Priority) -> None:
        await limiter.wait(priority)
        done.append((asyncio.get_running_loop().time(), priority, number))

    await asyncio.gather(*(one(number, priority) for number, priority in enumerate(wanted)))
    return done


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    done = run(through(RateLimiter(per_second=10, burst=5), [NORMAL] * 25))
    times = [time for time, _, _ in done]
    assert times[:5] == [0] * 5
    assert times[5:] == pytest.approx([number / 10 for number in range(1, 21)])
    assert [number for _, _, number in done] == list(range(25))


def test_the_important_goes_first_and_equals_in_their_order() -> None:
    done = run(through(RateLimiter(per_second=10, burst=1), [TEXT, TEXT, NORMAL, DECISION, NORMAL, DECISION]))
    assert [number for _, _, number in done] == [0, 3, 5, 2, 4, 1]


def test_who_comes_late_passes_those_who_matter_less() -> None:
    async def program() -> list[Priority]:
        limiter, done = RateLimiter(per_second=1, burst=1), []

        async def one(priority: Priority, after: float) -> None:
            await asyncio.sleep(after)
            await limiter.wait(priority)
            done.append(priority)

        await asyncio.gather(*(one(TEXT, 0) for _ in range(4)), one(DECISION, 1.5))
        return done

    assert run(program()) == [TEXT, TEXT, DECISION, TEXT, TEXT]


def test_a_quiet_time_saves_up_one_burst_and_no_more() -> None:
    async def program() -> list[float]:
        limiter = RateLimiter(per_second=10, burst=3)
        await through(limiter, [NORMAL] * 3)
        await asyncio.sleep(3600)
        return [time - 3600 for time, _, _ in await through(limiter, [NORMAL] * 5)]

    assert run(program()) == pytest.approx([0, 0, 0, 0.1, 0.2])


def test_nobody_passes_in_a_pause_and_no_burst_follows_it() -> None:
    async def program() -> list[float]:
        limiter = RateLimiter(per_second=10, burst=5)
        limiter.pause(2)
        limiter.pause(1)  # does not make it shorter
        return [time for time, _, _ in await through(limiter, [DECISION, DECISION])]

    assert run(program()) == pytest.approx([2.1, 2.2])


def test_a_pause_holds_those_who_wait_already() -> None:
    async def program() -> list[float]:
        limiter = RateLimiter(per_second=10, burst=1)
        asyncio.get_running_loop().call_later(0.05, limiter.pause, 5)
        return [time for time, _, _ in await through(limiter, [NORMAL] * 3)]

    assert run(program()) == pytest.approx([0, 5.15, 5.25])


def test_who_is_cancelled_takes_nobodys_place() -> None:
    async def program() -> list[float]:
        limiter = RateLimiter(per_second=1, burst=1)
        await limiter.wait(NORMAL)
        impatient = asyncio.create_task(limiter.wait(DECISION))
        await asyncio.sleep(0.5)
        impatient.cancel()
        return [time for time, _, _ in await through(limiter, [TEXT, TEXT])]

    assert run(program()) == pytest.approx([1, 2])


def test_a_turn_that_comes_with_a_cancellation_goes_to_the_next() -> None:
    async def program() -> list[float]:
        limiter = RateLimiter(per_second=1, burst=1)
        await limiter.wait(NORMAL)
        impatient = asyncio.create_task(limiter.wait(DECISION))
        patient = asyncio.create_task(through(limiter, [TEXT]))
        await asyncio.sleep(0)
        # In the round of the loop in which the turn is given, and after that.
        asyncio.get_running_loop().call_at(1 + 1e-10, impatient.cancel)
        with pytest.raises(asyncio.CancelledError):
            await impatient
        return [time for time, _, _ in await patient]

    assert run(program()) == pytest.approx([1])


def test_the_rate_is_held_under_ten_thousand_requests() -> None:
    mixed = [Priority(number % 3) for number in range(10_000)]
    done = run(through(RateLimiter(per_second=100, burst=200), mixed))
    assert done[-1][0] == pytest.approx((10_000 - 200) / 100)
    assert [priority for _, priority, _ in done[200:]] == sorted(priority for _, priority, _ in done[200:])
