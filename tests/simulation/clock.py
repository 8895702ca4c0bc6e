"""Time that passes only from one event to the next."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

What = Callable[[], None]


class Clock:
    """Events in their order.

    Attributes:
        time: Seconds since the start.
    """

    def __init__(self) -> None:
        self.time = 0.0
        self._events: list[tuple[float, int, What]] = []
        self._numbers = count(1)
        self._cancelled: set[int] = set()

    @property
    def pending(self) -> int:
        """How much is still to happen."""
        return len(self._events)

    def at(self, time: float, what: What) -> int:
        """Let something happen; returns its number."""
        number = next(self._numbers)
        heappush(self._events, (time, number, what))
        return number

    def cancel(self, number: int) -> None:
        """Let something not happen."""
        self._cancelled.add(number)

    def run(self, after: What, until: float) -> None:
        """Let everything happen until then, and this after each moment in which something did."""
        while self._events and self._events[0][0] <= until:
            self.time = self._events[0][0]
            while self._events and self._events[0][0] == self.time:
                _, number, what = heappop(self._events)
                if number not in self._cancelled:
                    what()
            after()
