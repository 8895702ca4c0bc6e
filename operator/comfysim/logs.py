"""The last writes to standard error, for /internal/logs."""

from __future__ import annotations

import datetime as dt
import sys
from collections import deque
from typing import TextIO

CAPACITY = 300


class LogInterceptor:
    """Stands in for a text stream and remembers what goes through it.

    Args:
        stream: The real stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.entries: deque[dict[str, str]] = deque(maxlen=CAPACITY)

    def write(self, data: str) -> int:
        """Passes text on.

        Args:
            data: The text.

        Returns:
            Its length.
        """
        now = dt.datetime.now(tz=dt.UTC).replace(tzinfo=None)
        self.entries.append({"t": now.isoformat(), "m": data})
        return self.stream.write(data)

    def flush(self) -> None:
        """Flushes the real stream."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Tells whether a person is reading."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Gives the real stream's descriptor."""
        return self.stream.fileno()


def intercept() -> LogInterceptor:
    """Puts an interceptor in the place of standard error.

    Returns:
        It.
    """
    interceptor = LogInterceptor(sys.stderr)
    sys.stderr = interceptor
    return interceptor
