"""One assignment of a job, from its content to the write that ends it."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from comfyard.agent.content import EndedError, file_types, prompt_ids, prompts_of
from comfyard.agent.files import remove_folder
from comfyard.agent.input_places import InputError
from comfyard.agent.leftovers import remove_made
from comfyard.agent.receipt import Render
from comfyard.agent.rendering import Rendering
from comfyard.agent.report import MOST_RESULTS, Ended, complete_patch, failure_patch
from comfyard.agent.reporter import AssignmentLostError, write
from comfyard.agent.steps import Steps
from comfyard.agent.storing import Storing
from comfyard.agent.surroundings import Surroundings
from comfyard.agent.telling import Telling
from comfyard.api.generation_job import Assignment, GenerationJob, Receipt, Result
from comfyard.comfyui.errors import ComfyError
from comfyard.comfyui.execution import Success
from comfyard.kube.errors import ApiError, InvalidError

log = logging.getLogger(__name__)

_HAND_BACK_STOP_SECONDS = 5
_PREPARE_AGAIN_SECONDS = 1


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
        self._kept: dict[int, Success] = {}
        self._hand_back = ""
        self._forget = False
        self._reports = False
        self._turn: datetime | None = None
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

        A report goes on: it holds only while the assignment is ours, and mostly it is this very report that has just
        ended it. To break the request off would cost a connection to the API server.

        Args:
            forget: It will not be taken up again, so that its files can go.
        """
        if not self._reports and not self._task.done() and not self._task.cancelling():
            self._forget = forget
            self._task.cancel()

    def hand_back(self, message: str) -> None:
        """Stop, and report that this server has lost the job. Idempotent."""
        if not self._task.done() and not self._task.cancelling():
            self._hand_back = message
            self._task.cancel()

    async def _run(self) -> None:
        name, uid = self._job.metadata.name, self._job.metadata.uid
        log.info("job %s: assignment %s", name, self._assignment.id)
        self._around.inputs.hold(uid)
        try:
            outcome = await self._attempt_or_hand_back()
            self._reports = True
            if isinstance(outcome, Ended) and outcome.failure_class == "OutputFailed":
                self._keep()  # before it is told: the next attempt may begin at once
            await self._report(outcome)
            self._forget = True
        except AssignmentLostError:
            log.info("job %s: the assignment was lost", name)
            self._forget = True
        except ApiError:
            log.exception("job %s: nothing can be reported", name)
        finally:
            self._around.inputs.release(uid)
            self._around.server.restart_if_condemned()
            if self._forget:
                await asyncio.to_thread(self._clean_up)  # disks are slow, and the next job is waiting
            else:
                self._keep()

    async def _attempt_or_hand_back(self) -> Ended | Receipt:
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

    async def _attempt(self) -> Ended | Receipt:
        """Render and store. However it ends, ComfyUI has nothing of it any more."""
        try:
            render, storing = await self._prepare()
            self._rendering = self._begin(render, storing)
            await self._queue_up(self._rendering)
            await self._render(self._rendering)
            about = await self._around.server.about()
            reused = self._rendering.reused and not self._job.status.outputs  # nobody knows how those were made
            return render.receipt(self._job, self._around.settings.image, about, reused=reused)
        except EndedError as error:
            return error.ended
        except ComfyError as error:  # of a request that nobody else has judged
            return Ended("ServerLost", f"ComfyUI went away: {error}")
        except Exception as error:  # a fault of ours must not hold the server for ever
            log.exception("job %s", self._job.metadata.name)
            return Ended("NodeError", f"the agent failed: {type(error).__name__}: {error}")
        finally:
            await self._stop_comfyui()

    async def _stop_comfyui(self) -> None:
        seconds = _HAND_BACK_STOP_SECONDS if self._hand_back else self._around.settings.stuck_seconds
        if self._rendering is not None:
            await self._rendering.stop(seconds)
        else:  # nothing was begun here, but perhaps by an agent before us
            await self._around.server.stop(prompt_ids(self._job), seconds)

    async def _prepare(self) -> tuple[Render, Storing]:
        """Get what the job needs, while the one before is still being rendered."""
        contents = self._around.contents
        while True:
            try:
                spec, store = await contents.template(self._job), await contents.store(self._job)
                files = await self._around.inputs.fetch(self._job, file_types(spec))
                render = Render(prompts_of(self._job, spec, files), files)
                return render, Storing(self._job, store, self._around.settings)
            except InputError as error:
                raise EndedError(Ended("InputFailed", str(error))) from error
            except ApiError as error:
                log.warning("job %s: %s", self._job.metadata.name, error)
            await asyncio.sleep(_PREPARE_AGAIN_SECONDS)

    def _begin(self, render: Render, storing: Storing) -> Rendering:
        """All indexes but those whose files are recorded; what was made before is stored, not rendered again."""
        stored = {result.index for result in self._job.status.outputs}
        prompts = [prompt for prompt in render.prompts if prompt.index not in stored]
        made = self._around.leftovers.take(self._job.metadata.uid, render.key)
        return Rendering(self._around.server, prompts, storing, self._around.settings.limits, render.key, made)

    async def _render(self, rendering: Rendering) -> None:
        self.begun = True
        feed, name = self._around.server.feed, self._around.settings.server
        teller = Telling(self._around.client, feed, name, rendering.prompts, lambda: rendering.rendered)
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
        self._turn = datetime.now(UTC)
        await self._around.server.until_usable()

    async def _report(self, outcome: Ended | Receipt) -> None:
        job, now = self._job, datetime.now(UTC)
        gpus, turn = self._around.settings.gpus, (self._turn or now) if self._before else None
        results = self._results()
        if len(results) > MOST_RESULTS:
            text = f"{len(results)} files are more than the {MOST_RESULTS} of one job; order fewer at once"
            outcome, results = outcome if isinstance(outcome, Ended) else Ended("Invalid", text), []
        if isinstance(outcome, Receipt):
            patch = complete_patch(job, self._assignment, results, gpus, now, receipt=outcome, turn=turn)
        else:
            log.info("job %s: %s: %s", job.metadata.name, outcome.failure_class, outcome.message)
            patch = failure_patch(job, self._assignment, outcome, results, gpus, now, turn=turn)
        try:
            await write(self._around.client, job, patch)
        except InvalidError as error:
            log.exception("job %s", job.metadata.name)
            ended = Ended("Invalid", f"the API server does not take the job's results: {error}")
            await write(self._around.client, job, failure_patch(job, self._assignment, ended, [], gpus, now, turn=turn))

    def _results(self) -> list[Result]:
        new = self._rendering.results if self._rendering else []
        return sorted([*self._job.status.outputs, *new], key=lambda result: result.index)

    def _keep(self) -> None:
        """What is made and not stored waits for the next attempt."""
        if self._rendering:
            self._kept = self._rendering.unstored
            self._around.leftovers.keep(self._job.metadata.uid, self._rendering.key, self._kept)

    def _clean_up(self) -> None:
        """Delete ComfyUI's files of this attempt: they are stored, or nobody wants them any more."""
        root, made = self._around.settings.output_directory, self._rendering.made if self._rendering else {}
        for index in made.keys() - self._kept.keys():
            remove_made(root, made[index])
        for index in set(range(self._job.spec.count)) - self._kept.keys():
            remove_folder(root, f"{self._job.metadata.uid}/{self._attempt_number}-{index}")
