"""One writer at a time.

The operator runs one Job for a claim; two pods of it may still overlap for a moment, when a node is lost and its pod is
deleted by force. A lock on the volume covers that where the file system has locks that work.
"""

import asyncio
import errno
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_BUSY = {errno.EAGAIN, errno.EACCES}
_LOOK_SECONDS = 0.5


class LockedError(Exception):
    """Another process writes to this store."""


@asynccontextmanager
async def hold(path: Path, wait_seconds: float) -> AsyncIterator[None]:
    """Hold the lock.

    Args:
        path: The lock's file; it is made, and never removed.
        wait_seconds: How long to wait for another to let go.

    Raises:
        LockedError: It is still held.
        OSError: The file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        while not _try(descriptor):
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"{path} is held by another store sync after {wait_seconds:g} s; two must not write to one claim: "
                    "look for a second pod that mounts it"
                )
            await asyncio.sleep(min(_LOOK_SECONDS, wait_seconds))
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        log.warning("the volume has no locks (%s): relying on there being one Job for a claim", error.strerror)
    return True
