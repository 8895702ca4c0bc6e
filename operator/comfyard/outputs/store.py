"""What every place for results can do, and how patient we are with it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from comfyard.outputs.reading import Content

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 15.0


class TransferError(Exception):
    """A file could not be had or stored. The message has the cause and the fix.

    Attributes:
        transient: Another try may help.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class OutputError(TransferError):
    """Of a place for results."""


class ResultStore(Protocol):
    """A place for results."""

    async def put(self, key: str, file: Content, content_type: str) -> str:
        """Store a file, from its beginning, and return its URI. The same key again overwrites with itself.

        The file is there as a whole or not at all. Raises OutputError.
        """


async def put_patiently(store: ResultStore, key: str, file: Content, content_type: str, seconds: float) -> str:
    """Store a file, again and again for about so many seconds.

    Rendering is dear and storing is cheap: what has been rendered is not given up for a store's bad minute.
    """
    return await patiently(lambda: store.put(key, file, content_type), seconds)


async def patiently(transfer: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Do it again with growing pauses while that may help, for about so many seconds. Raises TransferError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    delay = _FIRST_DELAY_SECONDS
    while True:
        try:
            return await transfer()
        except TransferError as error:
            if not error.transient or loop.time() + delay > deadline:
                raise
            log.warning("%s; again in %g s", error, delay)
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY_SECONDS)
