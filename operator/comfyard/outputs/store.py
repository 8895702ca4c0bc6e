"""What every place for results can do, and how patient we are with it."""

import asyncio
import logging
from io import BufferedReader
from typing import Protocol

log = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 15.0


class OutputError(Exception):
    """A file could not be stored. The message has the cause and the fix.

    Attributes:
        transient: Another try may help.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class ResultStore(Protocol):
    """A place for results."""

    async def put(self, key: str, file: BufferedReader, content_type: str) -> str:
        """Store a file, from its beginning, and return its URI. The same key again overwrites with itself.

        The file is there as a whole or not at all. Raises OutputError.
        """


async def put_patiently(store: ResultStore, key: str, file: BufferedReader, content_type: str, seconds: float) -> str:
    """Store a file, again and again with growing pauses while it may help, for about so many seconds.

    Rendering is dear and storing is cheap: what has been rendered is not given up for a store's bad minute.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    delay = _FIRST_DELAY_SECONDS
    while True:
        try:
            return await store.put(key, file, content_type)
        except OutputError as error:
            if not error.transient or loop.time() + delay > deadline:
                raise
            log.warning("%s; again in %g s", error, delay)
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY_SECONDS)
