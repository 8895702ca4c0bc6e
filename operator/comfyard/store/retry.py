"""How long to wait before another try. Pure."""

from dataclasses import dataclass

_DOUBLINGS = 20


@dataclass(frozen=True)
class Backoff:
    """Waits that double, with bounds.

    Attributes:
        first: Seconds before the second try.
        most: Seconds that are never exceeded by our own doubling.
        most_asked: Seconds that are never exceeded even if the source asks for more.
        look: Seconds between two looks at what only others can change: room on the volume, jobs that use a file.
    """

    first: float = 1.0
    most: float = 60.0
    most_asked: float = 900.0
    look: float = 5.0

    def delay(self, failures: int, retry_after: float | None, jitter: float) -> float:
        """Seconds to wait.

        Args:
            failures: Tries that failed in a row, without a byte in between; at least 1.
            retry_after: Seconds that the source asked for.
            jitter: From 0 to 1; spreads those who failed together.
        """
        own = min(self.most, self.first * 2.0 ** min(failures - 1, _DOUBLINGS)) * (1 - jitter / 4)
        return max(own, min(retry_after or 0.0, self.most_asked))
