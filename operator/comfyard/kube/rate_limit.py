"""How many requests a second may go out, and which go first when there are more.

A token bucket, as client-go limits its clients, with a queue that knows priorities. What reaches the API server is
bounded even when ten thousand jobs change at once, and what matters most is not behind what only tells.
"""

import asyncio
import heapq
import itertools
from enum import IntEnum

_WHOLE = 1 - 1e-9
"""A token, but for what adding up fractions of it loses."""


class Priority(IntEnum):
    """What goes first when requests have to wait."""

    DECISION = 0
    """A job has ended, or has got its server: GPUs and people wait for it."""
    NORMAL = 1
    """Everything else that changes what will be."""
    TEXT = 2
    """What only tells: why a job waits and at which place, how many servers of a profile are busy."""


class RateLimiter:
    """Lets so many through per second, and so many at once after a time without any.

    Those who wait go by priority, within one in the order in which they came. A priority can starve a lower one for as
    long as it uses the whole rate: what is only told may be late.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._counted_at = 0.0
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._number = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, priority: Priority) -> None:
        """Return when it is the caller's turn."""
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._number), turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given a token that it does not use any more
                self._tokens += 1
                self._serve()
            raise

    def pause(self, seconds: float) -> None:
        """Let nobody through for so long, and begin without a burst then: the API server has asked for patience."""
        self._count()
        self._tokens = 0
        self._counted_at = max(self._counted_at, asyncio.get_running_loop().time() + seconds)
        self._serve()

    def _count(self) -> None:
        """Add what has come since the last time; after a pause, since its end."""
        passed = asyncio.get_running_loop().time() - self._counted_at
        if passed > 0:
            self._tokens = min(self._burst, self._tokens + passed * self._per_second)
            self._counted_at += passed

    def _serve(self) -> None:
        """Let through who can go now, and come back when the next can."""
        self._count()
        while self._waiting and self._tokens >= _WHOLE:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():  # else its caller was cancelled
                turn.set_result(None)
                self._tokens -= 1
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            at = self._counted_at + (1 - self._tokens) / self._per_second
            self._timer = asyncio.get_running_loop().call_at(at, self._serve)
