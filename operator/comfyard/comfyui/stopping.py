"""Stopping prompts until they have really stopped. ComfyUI answers 200 to every request to stop, and means nothing."""

import asyncio
from collections.abc import Callable, Collection, Sequence

from comfyard.comfyui.client import ComfyClient
from comfyard.comfyui.errors import AnswerError, UnreachableError
from comfyard.comfyui.feed import Feed

Unwanted = Callable[[str], bool]

_AGAIN_SECONDS = 0.5
"""An interrupt is a flag that the start of a prompt clears, so it is raised again and again."""


async def stop(comfy: ComfyClient, feed: Feed, prompt_ids: Sequence[str], seconds: float) -> bool:
    """Take prompts out of the queue and interrupt the one that runs.

    Nodes look for an interruption at their start and between steps; a slow one ends first.

    Returns:
        Whether none of them is queued or running any more, within so many seconds.
    """
    ours = frozenset(prompt_ids)
    return await _until_gone(comfy, feed, seconds, lambda prompt_id: prompt_id in ours)


async def stop_others(comfy: ComfyClient, feed: Feed, keep: Collection[str], seconds: float) -> bool:
    """The same for every prompt that is not among those to keep."""
    return await _until_gone(comfy, feed, seconds, lambda prompt_id: prompt_id not in keep)


async def _until_gone(comfy: ComfyClient, feed: Feed, seconds: float, unwanted: Unwanted) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        try:
            if not await _ask(comfy, unwanted):
                return True
        except UnreachableError as error:
            if error.gone:
                return True  # with the process went the queue
        except AnswerError:
            pass  # ask again
        if loop.time() >= deadline:
            return False
        await feed.nudged(min(_AGAIN_SECONDS, max(0.0, deadline - loop.time())))


async def _ask(comfy: ComfyClient, unwanted: Unwanted) -> bool:
    """One round; whether there was anything left to stop. What was deleted may have started before: look again."""
    queue = await comfy.queue()
    pending = [prompt_id for prompt_id in queue.pending if unwanted(prompt_id)]
    running = [prompt_id for prompt_id in queue.running if unwanted(prompt_id)]
    if pending:
        await comfy.delete_pending(pending)
    for prompt_id in running:
        await comfy.interrupt(prompt_id)
    return bool(pending or running)
