"""How far a job is, told while it is being worked on: at most every few seconds, and only when it has changed."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from comfyard.agent.report import overall, progress_patch, rendering_message
from comfyard.agent.reporter import AssignmentLostError, try_write
from comfyard.api.generation_job import Assignment, GenerationJob, Progress
from comfyard.comfyui.feed import Feed
from comfyard.kube.errors import ApiError
from comfyard.kube.protocol import KubeClient
from comfyard.workflow.prompts import Prompt

log = logging.getLogger(__name__)

_FIRST_SECONDS = 1.0
"""A job that is done sooner costs one write less."""
_EVERY_SECONDS = 5.0
_LONGEST_NODE = 253


class Telling:
    """Writes the progress of one job."""

    def __init__(
        self, client: KubeClient, feed: Feed, server: str, prompts: Sequence[Prompt], rendered: Callable[[], int]
    ) -> None:
        """Tell of these prompts, which are rendered in order, so many of them already."""
        self._client = client
        self._feed = feed
        self._server = server
        self._prompts = prompts
        self._rendered = rendered

    async def run(self, job: Callable[[], GenerationJob], assignment: Assignment) -> None:
        """Write until cancelled, or until the assignment is lost; who works on it will hear of that, too."""
        told: tuple[Progress, str] | None = None
        pause = _FIRST_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = _EVERY_SECONDS
            now = self.now(job())
            if now == told:
                continue
            try:
                await try_write(self._client, job(), progress_patch(assignment, *now))
                told = now
            except AssignmentLostError:
                return
            except ApiError as error:
                log.warning("cannot tell the progress of job %s: %s", job().metadata.name, error)

    def now(self, job: GenerationJob) -> tuple[Progress, str]:
        """The progress at this moment, and its words."""
        count = job.spec.count
        before = count - len(self._prompts)  # of earlier attempts
        rendered = self._rendered()
        done = before + rendered
        if rendered >= len(self._prompts):
            return Progress(percent=overall(job, done, 0)), f"storing the results of {count} on {self._server}"
        prompt = self._prompts[rendered]
        at = self._feed.progress(prompt.id)
        node = str(prompt.graph.get(at.node, {}).get("class_type", at.node))[:_LONGEST_NODE]
        progress = Progress(percent=overall(job, done, at.fraction), node=node, step=at.step, steps=at.steps)
        return progress, rendering_message(self._server, done + 1, count, node, at.step, at.steps)
