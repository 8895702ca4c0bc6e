"""The agent's loop: makes the works match the assignments that the API server tells of."""

import asyncio
import logging
import time
from contextlib import suppress

from comfyard.agent.assignments import Assignments
from comfyard.agent.content import prompt_ids
from comfyard.agent.files import folders, remove_folder
from comfyard.agent.inputs import is_uid
from comfyard.agent.start_up import StartUp
from comfyard.agent.steps import Steps
from comfyard.agent.surroundings import Surroundings
from comfyard.agent.work import Work
from comfyard.api.generation_job import Assignment, GenerationJob
from comfyard.comfyui.stopping import stop_others
from comfyard.kube.informer import Informer

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.5
_STALLED_SECONDS = 30.0
_LAST_WRITES_SECONDS = 10.0
"""After the drain: for interrupting, and for the write that hands a job back."""

_SHUTTING_DOWN = "the server is shutting down"


class Dispatcher:
    """Begins works in the order of their assignments, stops those that are not wanted any more."""

    def __init__(self, around: Surroundings, informer: Informer, start_up: StartUp) -> None:
        self._around = around
        self._informer = informer
        self._start_up = start_up
        self._assignments = Assignments(around.settings.server)
        self._works: dict[str, Work] = {}
        self._settled: set[str] = set()
        self._cleared = Steps()
        self._draining = asyncio.Event()
        self._moved_at = time.monotonic()

    @property
    def moves(self) -> bool:
        """Whether the loop still turns."""
        return time.monotonic() - self._moved_at < _STALLED_SECONDS

    @property
    def in_contact(self) -> bool:
        """Whether the API server has been heard of lately enough to work for it."""
        return time.monotonic() - self._informer.last_contact < self._around.settings.lost_seconds

    def drain(self) -> None:
        """Begin nothing more, and end."""
        self._draining.set()

    async def trouble(self) -> str:
        """Why this server should not be given jobs; empty when it should."""
        if self._draining.is_set():
            return _SHUTTING_DOWN
        if not self._informer.synced.is_set():
            return "the jobs of this server are not known yet"
        if not self.in_contact:
            return "no contact with the API server"
        return await self._around.server.trouble() or self._start_up.trouble

    async def run(self) -> None:
        """Work until told to drain, then until that is done."""
        clearing: asyncio.Task[None] | None = None
        while not self._draining.is_set():
            self._moved_at = time.monotonic()
            self._around.server.look()
            self._around.leftovers.expire()
            if self._informer.synced.is_set():
                jobs = self._jobs() if self.in_contact else []
                clearing = clearing or asyncio.create_task(self._clear())
                self._match(jobs)
            await self._informer.changed(_TICK_SECONDS)
        await self._drain()
        if clearing:
            clearing.cancel()
            await asyncio.gather(clearing, return_exceptions=True)

    def _jobs(self) -> list[tuple[Assignment, GenerationJob]]:
        return self._assignments.among(self._informer.objects)

    async def _clear(self) -> None:
        """Before the first work: stop what an agent before us has left in ComfyUI, and delete its files."""
        settings, server = self._around.settings, self._around.server
        await server.until_usable()
        jobs = self._jobs()
        warm_up = self._start_up.prompt_id
        keep = {warm_up, *(prompt_id for _, job in jobs for prompt_id in prompt_ids(job))}
        if not await stop_others(server.comfy, server.feed, keep, settings.stuck_seconds):
            server.condemn()
            server.restart_if_condemned()
        uids = {job.metadata.uid for _, job in jobs}
        self._around.inputs.clear(uids)
        for folder in folders(settings.output_directory):
            if is_uid(folder) and folder not in {warm_up, *uids}:
                remove_folder(settings.output_directory, folder)
        self._cleared.end()

    def _match(self, jobs: list[tuple[Assignment, GenerationJob]]) -> None:
        wanted = {assignment.id: job for assignment, job in jobs}
        for key, work in list(self._works.items()):
            if work.is_over:
                del self._works[key]
                if work.is_settled:
                    self._settled.add(key)
            elif key in wanted:
                work.see(wanted[key])
            else:
                work.stop(forget=self.in_contact)
        if self.in_contact:
            self._settled &= wanted.keys()  # its own last write is seen a little later than it is made
        for assignment, job in jobs:
            if assignment.id not in self._works and assignment.id not in self._settled:
                before = [self._cleared, *(work.steps for work in self._works.values())]
                self._works[assignment.id] = Work(self._around, job, assignment, before)

    async def _drain(self) -> None:
        """Jobs that have begun may finish for a while; all others go back at once."""
        log.info("shutting down with %d jobs", len(self._works))
        for work in self._works.values():
            if not work.begun:
                work.hand_back(_SHUTTING_DOWN)
        await self._until_over(self._around.settings.drain_seconds)
        for work in self._works.values():
            work.hand_back(_SHUTTING_DOWN)
        await self._until_over(_LAST_WRITES_SECONDS)

    async def _until_over(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for work in self._works.values():
                    await work.wait()
