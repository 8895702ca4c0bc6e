"""Prompts from submission to outcome on one server, each run once, whatever happens to us in between.

ComfyUI runs a prompt again when its id is submitted again, so every submission is preceded by a look for the id. A
prompt moves from queue to history at one instant, so that who reads the queue first and the history second never
misses it; in neither it was never submitted, or the server has forgotten it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

from comfyard.comfyui.answers import HistoryEntry, OutputFile, OutputValue, Queue
from comfyard.comfyui.client import ComfyClient
from comfyard.comfyui.errors import AnswerError, ComfyError, RefusedError, UnreachableError, UnserialisableError
from comfyard.comfyui.failure import Failure, fail, foreign, raised, refused, stored_nothing
from comfyard.comfyui.feed import Feed
from comfyard.comfyui.stopping import stop

log = logging.getLogger(__name__)


class Submission(Protocol):
    """One prompt: its canonical lower-case UUID, its graph, the output nodes that must show something, and its folder.

    The folder, below ComfyUI's output directory, is of this prompt alone: what lies in it is certain to be its own.
    """

    @property
    def id(self) -> str: ...  # noqa: D102

    @property
    def graph(self) -> Mapping[str, Any]: ...  # noqa: D102

    @property
    def outputs(self) -> Mapping[str, str]: ...  # noqa: D102

    @property
    def prefix(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Limits:
    """When patience ends.

    Attributes:
        stuck_seconds: Without any change of queue, progress or events.
        stop_seconds: Between an interrupt and its effect, before the worker thread is taken for dead.
        gone_seconds: Without an answer to anything.
        poll_seconds: Between two looks when no event asks for one.
    """

    stuck_seconds: float = 300
    stop_seconds: float = 30
    gone_seconds: float = 10
    poll_seconds: float = 1


@dataclass(frozen=True)
class Success:
    """A prompt that has ended with all its results.

    Attributes:
        files: In ComfyUI's output directory, by output node.
        values: What is no file, likewise; each output node has one or the other, or both.
        reused: Only the output nodes were run: ComfyUI had everything else of an earlier prompt.
    """

    prompt_id: str
    files: Mapping[str, tuple[OutputFile, ...]]
    values: Mapping[str, tuple[OutputValue, ...]]
    reused: bool


async def enqueue(comfy: ComfyClient, feed: Feed, prompts: Sequence[Submission], limits: Limits) -> Failure | None:
    """See to it that all prompts are in the server's queue, in order, or have been.

    All are submitted up front, so that the GPU does not wait between them. What ComfyUI knows already is left alone: a
    repeat, also after a restart of ours, adds only what is missing. After a Failure some may be queued.

    One look finds what a process before us has submitted at its end, as the agent has had other answers of ComfyUI
    before it comes here.
    """
    for prompt in prompts:
        feed.follow(prompt.id, prompt.graph)
    patience = _Patience(limits.gone_seconds)
    missing = list(prompts)
    uncertain = False
    while missing:
        current = missing[0]
        try:
            missing = await _not_there(comfy, missing)
            if uncertain:  # a submission of ours may still be on its way into the queue
                missing = await _not_there(comfy, missing)
            for prompt in missing:
                current = prompt
                await comfy.submit(prompt.id, prompt.graph)
            missing = []
        except RefusedError as error:
            return refused(current.id, error)
        except (UnreachableError, AnswerError) as error:  # its outcome is unknown: look again before another try
            if patience.is_over(error):
                return _unusable(current.id, error)
            uncertain = True
            await feed.nudged(limits.poll_seconds)
    return None


async def outcomes(
    comfy: ComfyClient, feed: Feed, prompts: Sequence[Submission], limits: Limits
) -> AsyncGenerator[Success | Failure, None]:
    """Yield how each of the prompts in the queue ended, as it ends. After a Failure nothing more comes.

    What is still queued and followed when the caller leaves is the caller's to stop.
    """
    for prompt in prompts:
        outcome = await _Waiting(comfy, feed, prompts, limits).for_end_of(prompt)
        feed.unfollow(prompt.id)
        yield outcome
        if isinstance(outcome, Failure):
            return


async def _not_there(comfy: ComfyClient, prompts: Sequence[Submission]) -> list[Submission]:
    if not prompts:
        return []
    queue = await comfy.queue()
    return [p for p in prompts if p.id not in queue and not await _has_ended(comfy, p.id)]


async def _has_ended(comfy: ComfyClient, prompt_id: str) -> bool:
    try:
        return await comfy.history(prompt_id) is not None
    except UnserialisableError:
        return True


class _Patience:
    """How long a server may be without a usable answer before it is given up."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None

    def is_over(self, error: ComfyError) -> bool:
        """Whether this failed request was one too many. Nobody on the port means that the process is gone."""
        if isinstance(error, UnreachableError) and error.gone:
            return True
        now = asyncio.get_running_loop().time()
        self._since = self._since or now
        return now - self._since >= self._seconds

    def renew(self) -> None:
        """There was an answer."""
        self._since = None


class _Waiting:
    """The wait for one prompt that was submitted."""

    def __init__(self, comfy: ComfyClient, feed: Feed, prompts: Sequence[Submission], limits: Limits) -> None:
        self._comfy = comfy
        self._feed = feed
        self._ids = [prompt.id for prompt in prompts]
        self._limits = limits
        self._patience = _Patience(limits.gone_seconds)
        self._seen: tuple[Queue, int] | None = None
        self._moved_at = 0.0

    async def for_end_of(self, prompt: Submission) -> Success | Failure:
        """Wait until the prompt has ended, was lost, or the server is found stuck."""
        while True:
            try:
                outcome = await self._look(prompt)
                self._patience.renew()
                if outcome:
                    return outcome
            except (UnreachableError, AnswerError) as error:
                if self._patience.is_over(error):
                    return _unusable(prompt.id, error)
            await self._feed.nudged(self._limits.poll_seconds)

    async def _look(self, prompt: Submission) -> Success | Failure | None:
        # The first read of the history only saves the way through the queue, whose answer holds every graph.
        for _ in range(2):
            ended = await self._ended(prompt)
            if ended:
                return ended
            queue = await self._comfy.queue()
            if prompt.id in queue:
                return await self._stuck(prompt, queue)
        ended = await self._ended(prompt)
        return ended or fail(prompt.id, "ServerLost", "ComfyUI does not know the prompt any more; it has restarted")

    async def _ended(self, prompt: Submission) -> Success | Failure | None:
        try:
            entry = await self._comfy.history(prompt.id)
        except UnserialisableError as error:
            await self._comfy.forget(prompt.id)
            return fail(prompt.id, "NodeError", str(error))
        return judge(prompt, entry) if entry else None

    async def _stuck(self, prompt: Submission, queue: Queue) -> Failure | None:
        """Nothing has changed for too long: interrupt, and see whether the worker thread still obeys."""
        now = asyncio.get_running_loop().time()
        if self._seen != (queue, self._feed.activity):
            self._seen = (queue, self._feed.activity)
            self._moved_at = now
        seconds = self._limits.stuck_seconds
        if now - self._moved_at < seconds:
            return None
        log.warning("prompt %s has not moved for %s s", prompt.id, seconds)
        obeyed = await stop(self._comfy, self._feed, self._ids, self._limits.stop_seconds)
        if obeyed and queue.running and not (await self._comfy.queue()).running:
            return fail(prompt.id, "ServerStuck", f"no progress for {seconds:g} s; ComfyUI was interrupted")
        message = f"no progress for {seconds:g} s, and ComfyUI does not react to an interrupt; it is restarted"
        return fail(prompt.id, "ServerStuck", message, restart=True)


def judge(prompt: Submission, entry: HistoryEntry) -> Success | Failure:
    """Whether an ended prompt has everything that was asked for. ComfyUI's success does not mean that."""
    if not entry.succeeded:
        return raised(prompt.id, entry)
    files = {
        node: tuple(file for file in entry.files.get(node, ()) if file.folder == "output") for node in prompt.outputs
    }
    values = {node: entry.values.get(node, ()) for node in prompt.outputs}
    missing = sorted(node for node in prompt.outputs if not files[node] and not values[node])
    if missing:
        return stored_nothing(prompt.id, missing, prompt.graph, entry)
    for node in entry.cached & files.keys():
        for file in files[node]:
            if not PurePosixPath(file.subfolder, file.filename).is_relative_to(prompt.prefix):
                return foreign(prompt.id, node, prompt.graph, file)
    rest = prompt.graph.keys() - prompt.outputs.keys()
    return Success(prompt.id, files, values, reused=bool(rest) and rest <= entry.cached)


def _unusable(prompt_id: str, error: ComfyError) -> Failure:
    return fail(prompt_id, "ServerLost", f"ComfyUI went away: {error}")
