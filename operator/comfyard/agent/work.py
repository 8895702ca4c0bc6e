"""One assignment of a job, from its content to the write that ends it."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from comfyard.agent.content import Contents, EndedError, prompt_ids
from comfyard.agent.files import remove_folder, remove_output
from comfyard.agent.rendering import Rendering
from comfyard.agent.report import MOST_RESULTS, Ended, complete_patch, failure_patch
from comfyard.agent.reporter import AssignmentLostError, write
from comfyard.agent.server import Server
from comfyard.agent.settings import Settings
from comfyard.agent.storing import Storing
from comfyard.agent.telling import Telling
from comfyard.api.generation_job import Assignment, GenerationJob, Result
from comfyard.comfyui.errors import ComfyError
from comfyard.comfyui.execution import Limits
from comfyard.kube.errors import ApiError, InvalidError
from comfyard.kube.protocol import KubeClient
from comfyard.workflow.prompts import Prompt

log = logging.getLogger(__name__)

_OBEY_SECONDS = 30
_HAND_BACK_STOP_SECONDS = 5
_PREPARE_AGAIN_SECONDS = 1


@dataclass(frozen=True)
class Surroundings:
    """What all works of a server share."""

    settings: Settings
    client: KubeClient
    contents: Contents
    server: Server


class Steps:
    """How far a work is with ComfyUI, for the works after it.

    Attributes:
        queued: Everything of it that ComfyUI will ever have is in the queue; the next may queue behind it.
        left: ComfyUI has nothing of it any more; it is the next one's turn. Files may still be being stored.
    """

    def __init__(self) -> None:
        self.queued = asyncio.Event()
        self.left = asyncio.Event()

    def end(self) -> None:
        """ComfyUI has nothing of it, and will have nothing."""
        self.queued.set()
        self.left.set()


class Work:
    """The work on one assignment.

    Attributes:
        steps: For the works after this one.
        begun: Whether its turn has come.
    """

    def __init__(
        self, around: Surroundings, job: GenerationJob, assignment: Assignment, before: Sequence[Steps]
    ) -> None:
        """Begin; `before` are those that go first."""
        self.steps = Steps()
        self.begun = False
        self._around = around
        self._job = job
        self._assignment = assignment
        self._before = before
        self._attempt_number = len(job.status.attempts)
        self._rendering: Rendering | None = None
        self._hand_back = ""
        self._forget = False
        self._task = asyncio.create_task(self._run(), name=job.metadata.name)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self._task.done()

    @property
    def is_settled(self) -> bool:
        """Whether it is over and was not broken off: the same assignment is not begun again."""
        return self._task.done() and not self._task.cancelled()

    async def wait(self) -> None:
        """Wait until it is over, however it ends."""
        await asyncio.wait([self._task])

    def see(self, job: GenerationJob) -> None:
        """The job as it is now, with the same assignment."""
        self._job = job

    def stop(self, *, forget: bool) -> None:
        """Stop without a word, as the assignment is gone or nobody can be told. Idempotent.

        Args:
            forget: It will not be taken up again, so that its files can go.
        """
        if not self._task.done() and not self._task.cancelling():
            self._forget = forget
            self._task.cancel()

    def hand_back(self, message: str) -> None:
        """Stop, and report that this server has lost the job. Idempotent."""
        if not self._task.done() and not self._task.cancelling():
            self._hand_back = message
            self._task.cancel()

    async def _run(self) -> None:
        name = self._job.metadata.name
        log.info("job %s: assignment %s", name, self._assignment.id)
        try:
            await self._report(await self._attempt_or_hand_back())
            self._forget = True
        except AssignmentLostError:
            log.info("job %s: the assignment was lost", name)
            self._forget = True
        except ApiError:
            log.exception("job %s: nothing can be reported", name)
        finally:
            if self._forget:
                self._clean_up()
            self._around.server.restart_if_condemned()

    async def _attempt_or_hand_back(self) -> Ended | None:
        try:
            return await self._attempt()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._hand_back or task is None:
                raise
            task.uncancel()
            return Ended("ServerLost", self._hand_back)
        finally:
            self.steps.end()

    async def _attempt(self) -> Ended | None:
        """Render and store; None: everything is there. However it ends, ComfyUI has nothing of it any more."""
        try:
            prompts, storing = await self._prepare()
            stuck = self._around.settings.stuck_seconds
            limits = Limits(stuck_seconds=stuck, stop_seconds=min(_OBEY_SECONDS, stuck))
            self._rendering = Rendering(self._around.server, prompts, storing, limits)
            await self._queue_up(self._rendering)
            await self._render(self._rendering, prompts)
        except EndedError as error:
            return error.ended
        except ComfyError as error:  # of a request that nobody else has judged
            return Ended("ServerLost", f"ComfyUI went away: {error}")
        except Exception as error:  # a fault of ours must not hold the server for ever
            log.exception("job %s", self._job.metadata.name)
            return Ended("NodeError", f"the agent failed: {type(error).__name__}: {error}")
        finally:
            await self._stop_comfyui()
        return None

    async def _stop_comfyui(self) -> None:
        seconds = _HAND_BACK_STOP_SECONDS if self._hand_back else self._around.settings.stuck_seconds
        if self._rendering is not None:
            await self._rendering.stop(seconds)
        else:  # nothing was begun here, but perhaps by an agent before us
            await self._around.server.stop(prompt_ids(self._job), seconds)

    async def _prepare(self) -> tuple[list[Prompt], Storing]:
        """Read what the job needs, while the one before is still being rendered."""
        contents = self._around.contents
        while True:
            try:
                prompts, store = await contents.prompts(self._job), await contents.store(self._job)
                return prompts, Storing(self._job, store, self._around.settings)
            except ApiError as error:
                log.warning("job %s: %s", self._job.metadata.name, error)
            await asyncio.sleep(_PREPARE_AGAIN_SECONDS)

    async def _render(self, rendering: Rendering, prompts: list[Prompt]) -> None:
        self.begun = True
        feed, name = self._around.server.feed, self._around.settings.server
        teller = Telling(self._around.client, feed, name, prompts, lambda: rendering.rendered)
        telling = asyncio.create_task(teller.run(lambda: self._job, self._assignment))
        try:
            await rendering.run(self.steps.left.set)
        finally:
            telling.cancel()

    async def _queue_up(self, rendering: Rendering) -> None:
        """Queue behind those that go first, then wait until they have left."""
        for steps in self._before:
            await steps.queued.wait()
        await rendering.enqueue_early()
        self.steps.queued.set()
        for steps in self._before:
            await steps.left.wait()
        await self._around.server.until_usable()

    async def _report(self, ended: Ended | None) -> None:
        job, now = self._job, datetime.now(UTC)
        gpus = self._around.settings.gpus
        results = self._results()
        if len(results) > MOST_RESULTS:
            text = f"{len(results)} files are more than the {MOST_RESULTS} of one job; order fewer at once"
            ended, results = ended or Ended("Invalid", text), []
        if ended is None:
            patch = complete_patch(job, self._assignment, results, gpus, now)
        else:
            log.info("job %s: %s: %s", job.metadata.name, ended.failure_class, ended.message)
            patch = failure_patch(job, self._assignment, ended, results, gpus, now)
        try:
            await write(self._around.client, job, patch)
        except InvalidError as error:
            log.exception("job %s", job.metadata.name)
            ended = Ended("Invalid", f"the API server does not take the job's results: {error}")
            await write(self._around.client, job, failure_patch(job, self._assignment, ended, [], gpus, now))

    def _results(self) -> list[Result]:
        new = self._rendering.results if self._rendering else []
        return sorted([*self._job.status.outputs, *new], key=lambda result: result.index)

    def _clean_up(self) -> None:
        """Delete ComfyUI's files of this attempt: they are stored, or nobody wants them any more."""
        root = self._around.settings.output_directory
        for success in self._rendering.made if self._rendering else []:
            for files in success.files.values():
                for file in files:
                    remove_output(root, file)
        for index in range(self._job.spec.count):
            remove_folder(root, f"{self._job.metadata.uid}/{self._attempt_number}-{index}")
