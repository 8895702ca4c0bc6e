"""What a source is to the rest of the store: something that can be opened at an offset."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from comfyard.store.stop import Stop


@dataclass(frozen=True)
class Body:
    """Bytes on their way.

    Attributes:
        start: Offset of the first one: what was asked for, or 0 when the source starts over.
        size: Bytes of the whole file, if the source says so.
        validator: Names this version of the file for a later resume; empty: it cannot be resumed.
        chunks: The bytes. Iterating raises StoreError when they break off, StoppedError when asked to.
    """

    start: int
    size: int | None
    validator: str
    chunks: Iterator[bytes]


class Origin(Protocol):
    """One file at one source."""

    @property
    def key(self) -> str:
        """Tells this file at this source from all others; no secret can be read from it."""

    def open(self, offset: int, validator: str, stop: Stop) -> AbstractContextManager[Body]:
        """Open the file.

        Args:
            offset: Where to begin, 0 for a start.
            validator: The version that bytes before the offset are of.
            stop: Ends reading from another thread.

        Raises:
            StoreError: With the cause.
            StoppedError: It was asked to stop.
        """
