"""One object of the API server, looked at until it is as somebody wants it."""

import asyncio
from collections.abc import Callable
from typing import Any

from comfyard.cli.session import warn
from comfyard.kube.errors import ExpiredError, NotFoundError, UnavailableError
from comfyard.kube.kinds import Kind, Obj, name_of, namespace_of
from comfyard.kube.protocol import KubeClient

_RESYNC_SECONDS = 30.0
"""A watch whose connection has died without a word is noticed after so long."""
_RETRY_SECONDS = 1.0


async def watch_until(client: KubeClient, kind: Kind, made: Obj, enough: Callable[[Obj], bool]) -> Obj | None:
    """Look at an object as it is, and again after each change.

    Args:
        client: The API server; while it does not answer, it is asked again.
        kind: Of the object.
        made: The object as it was created; another one of its name is not taken for it.
        enough: Is shown the object each time, and says whether that was the last.

    Returns:
        The object that was enough; None when it is gone.

    Raises:
        ApiError: It may not be read, or not be watched.
    """
    found: asyncio.Future[Obj | None] = asyncio.get_running_loop().create_future()

    def look(seen: Obj | None) -> None:
        if not found.done() and (seen is None or enough(seen)):
            found.set_result(seen)

    # Only a task that waits for the network can be ended at once: generators that are left in the middle are closed
    # some time later, in any order, and complain.
    task = asyncio.create_task(_look_always(client, kind, made, look))
    first: set[asyncio.Future[Any]] = {task, found}
    try:
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        return found.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _look_always(client: KubeClient, kind: Kind, made: Obj, look: Callable[[Obj | None], None]) -> None:
    """Show the object, None when it is gone, until cancelled."""
    away = False
    while True:
        try:
            await _look_for_a_while(client, kind, made, look)
            away = False
        except UnavailableError as error:
            if not away:
                warn(f"the API server does not answer, trying again: {error}")
            away = True
            await asyncio.sleep(_RETRY_SECONDS)


async def _look_for_a_while(client: KubeClient, kind: Kind, made: Obj, look: Callable[[Obj | None], None]) -> None:
    name, namespace = name_of(made), namespace_of(made)
    try:
        seen = await client.get(kind, name, namespace)
    except NotFoundError:
        look(None)
        return
    look(seen if seen["metadata"]["uid"] == made["metadata"]["uid"] else None)
    version = seen["metadata"]["resourceVersion"]
    events = client.watch(kind, namespace, resource_version=version, fields={"metadata.name": name})
    try:
        async with asyncio.timeout(_RESYNC_SECONDS):
            async for event in events:
                look(None if event.type == "DELETED" else event.object)
    except (TimeoutError, ExpiredError):
        return
