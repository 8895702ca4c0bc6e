"""One job on ComfyUI: into its queue, out of it, and what it has made into the place for results."""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import aclosing
from types import MappingProxyType

from comfyard.agent.content import EndedError
from comfyard.agent.report import Ended
from comfyard.agent.server import Server
from comfyard.agent.storing import Storing
from comfyard.api.generation_job import Result
from comfyard.comfyui.execution import Limits, Success, enqueue, outcomes
from comfyard.comfyui.failure import Failure
from comfyard.workflow.prompts import Prompt


class Rendering:
    """The prompts of one attempt.

    Attributes:
        key: The same for what renders the same.
        made: What they have made, by index; at first what an earlier attempt has made and could not store.
        prompts: Those that are rendered.
        results: Files that are stored, of complete indexes only.
    """

    def __init__(
        self,
        server: Server,
        prompts: Sequence[Prompt],
        storing: Storing,
        limits: Limits,
        key: Hashable,
        made: Mapping[int, Success] = MappingProxyType({}),
    ) -> None:
        self.key = key
        self.made = dict(made)
        self.prompts = [prompt for prompt in prompts if prompt.index not in made]
        self.results: list[Result] = []
        self._server = server
        self._all = prompts
        self._storing = storing
        self._limits = limits
        self._tasks: list[asyncio.Task[list[Result]]] = []
        self._quiet = False
        self._queued_at = 0  # the connection to the process that has all prompts in its queue

    @property
    def rendered(self) -> int:
        """How many prompts have been rendered."""
        return len(self.made) - len(self._all) + len(self.prompts)

    @property
    def reused(self) -> bool:
        """Whether ComfyUI had all that they have made in its cache."""
        return all(success.reused for success in self.made.values())

    @property
    def unstored(self) -> dict[int, Success]:
        """What was made and is not stored, by index."""
        stored = {result.index for result in self.results}
        return {index: success for index, success in self.made.items() if index not in stored}

    async def enqueue_early(self) -> None:
        """Queue everything behind what is being rendered, so that the GPU does not wait in between. Raises EndedError.

        Only a refusal counts: whatever else goes wrong now may be right when the turn comes.
        """
        if not self._server.usable:
            return
        connection = self._server.feed.connections
        failure = await enqueue(self._server.comfy, self._server.feed, self.prompts, self._limits)
        if failure is None:
            self._queued_at = connection
        elif failure.failure_class == "Invalid":
            raise EndedError(_ended(failure))

    async def run(self, left: Callable[[], None]) -> None:
        """Render and store everything; call `left` once ComfyUI is done with it. Raises EndedError.

        Storing begins as each prompt ends. The results of what is stored stay, however it ends.
        """
        for prompt in self._all:
            if prompt.index in self.made:
                self._store(prompt)
        try:
            await self._render()
            self._quiet = True
            left()
            await asyncio.gather(*self._tasks)
        except EndedError:
            await self.stop(self._limits.stuck_seconds)
            left()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            raise
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.results = [result for task in self._tasks for result in _results(task)]

    async def _render(self) -> None:
        comfy, feed = self._server.comfy, self._server.feed
        if self._queued_at != feed.connections:
            failure = await enqueue(comfy, feed, self.prompts, self._limits)
            if failure:
                raise EndedError(_ended(failure))
        by_id = {prompt.id: prompt for prompt in self.prompts}
        async with aclosing(outcomes(comfy, feed, self.prompts, self._limits)) as ends:
            async for end in ends:
                if isinstance(end, Failure):
                    await self._server.recover(end)
                    raise EndedError(_ended(end))
                prompt = by_id[end.prompt_id]
                self.made[prompt.index] = end
                self._store(prompt)
                for task in self._tasks:
                    if task.done():
                        task.result()  # what cannot be stored need not be rendered

    def _store(self, prompt: Prompt) -> None:
        self._tasks.append(asyncio.create_task(self._storing.store(prompt, self.made[prompt.index])))

    async def stop(self, seconds: float) -> None:
        """Have ComfyUI stop, unless it is done with everything."""
        for prompt in self.prompts:
            self._server.feed.unfollow(prompt.id)
        if not self._quiet:
            await self._server.stop([prompt.id for prompt in self.prompts], seconds)
        self._quiet = True


def _ended(failure: Failure) -> Ended:
    return Ended(failure.failure_class, failure.message)


def _results(task: asyncio.Task[list[Result]]) -> list[Result]:
    return task.result() if task.done() and not task.cancelled() and not task.exception() else []
