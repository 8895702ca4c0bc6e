"""What blocks, awaited from an event loop: in a thread that is asked to stop, and waited for, when nobody wants it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from comfyard.store.stop import Stop

T = TypeVar("T")


async def in_thread(work: Callable[[Stop], T]) -> T:
    """Run what blocks in a thread. Cancelled, it asks the thread to stop and returns only when it has.

    Raises:
        Exception: What the work raises.
    """
    stop = Stop()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.ask()
        with suppress(asyncio.CancelledError):  # asked again while it stops
            await ended(task)
        raise


async def ended(task: "asyncio.Future[Any]") -> None:
    """Wait until it is over, and take no notice of how. Raises CancelledError, but not before."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if not task.cancelled():
        task.exception()  # seen
    if cancelled:
        raise asyncio.CancelledError
