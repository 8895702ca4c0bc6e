"""Which parts of a file are still to be fetched, and who of several fetchers does what when one of them fails."""

import threading
from collections.abc import Iterable

from comfyard.store.errors import StoreError
from comfyard.store.transfer.intervals import Interval


class Parts:
    """Hands out parts in order, so that the front of the file grows and can be hashed.

    A part that failed comes back. Who got nothing for it waits until another fetcher has finished one: the source does
    give, but not to so many. The failure of the last one at work is the failure of the whole.

    Args:
        parts: What is missing.
    """

    def __init__(self, parts: Iterable[Interval]) -> None:
        self._open = sorted(parts, reverse=True)
        self._changed = threading.Condition()
        self._at_work = 0
        self._finished = 0
        self._ended = False

    def __len__(self) -> int:
        return len(self._open)

    def take(self) -> Interval | None:
        """The next part; None when there is none, or all has ended. Follow it up with `finish` or `give_back`."""
        with self._changed:
            if self._ended or not self._open:
                return None
            self._at_work += 1
            return self._open.pop()

    def finish(self) -> None:
        """A part is there."""
        with self._changed:
            self._at_work -= 1
            self._finished += 1
            self._changed.notify_all()

    def give_back(self, rest: Iterable[Interval], error: StoreError | None, *, progress: bool) -> None:
        """What is missing of a part.

        Args:
            rest: That.
            error: Why; None when the source just gave less than it was asked for.
            progress: Whether some of the part came.

        Raises:
            StoreError: The same error, if nobody else is at work.
        """
        with self._changed:
            self._open = sorted([*self._open, *rest], reverse=True)
            self._at_work -= 1
            self._changed.notify_all()
            if error is None:
                return
            if not self._at_work:
                raise error
            finished = self._finished
            while not progress and self._at_work and self._finished == finished and not self._ended:
                self._changed.wait()

    def end(self) -> None:
        """No more: wake those that wait."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
