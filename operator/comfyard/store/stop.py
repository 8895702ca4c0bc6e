"""A way to end work that blocks in another thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from comfyard.store.errors import StoppedError


class Stop:
    """Asked for once, by any thread; work looks at it between steps and may be woken from a wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = False
        self._wake: set[Callable[[], None]] = set()

    def ask(self) -> None:
        """Ask to stop, and wake what waits."""
        with self._lock:
            self._asked = True
            for wake in self._wake:
                wake()

    def check(self) -> None:
        """Raise StoppedError if it was asked for."""
        if self._asked:
            raise StoppedError

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """While inside, `wake` is called when the stop is asked for; it must neither block nor raise."""
        with self._lock:
            self._wake.add(wake)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._wake.discard(wake)

    @contextmanager
    def child(self) -> Iterator["Stop"]:
        """One for a part of the work: it can be asked for alone, and is when this one is. Raises StoppedError."""
        stop = Stop()
        with self.waking(stop.ask):
            yield stop
