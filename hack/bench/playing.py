"""Plays kubelet and the agents of one namespace, in one light process: `python -m hack.bench.playing`.

Kubelet's part: server pods become Ready by a status patch, and go when they are deleted. The agents' part is their API
traffic: each follows its own jobs by LIST and WATCH as a real one does, takes them in order, renders in no time and
writes what an agent writes. Tells on standard output what happened when, one JSON line each.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from comfyard.agent.assignments import assigned_here
from comfyard.agent.report import Operation, complete_patch
from comfyard.api.generation_job import Assignment, GenerationJob, Receipt, ReceiptServer, Result
from comfyard.kube.kinds import GENERATION_JOB, Obj, name_of
from hack.bench.api import Api, RefusedError
from hack.bench.kubelet import USER_AGENT, Kubelet, Ready

AGENT = "comfyard-agent"
"""The user agent of a real one begins so."""
_RESYNC_SECONDS = 10.0
_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 5.0
_GONE = (404, 409, 422)
"""Answers that say that a job is not there any more, or not ours."""


def tell(event: str, **facts: object) -> None:
    """A line for whoever measures."""
    sys.stdout.write(json.dumps({"event": event, "at": time.time(), **facts}) + "\n")
    sys.stdout.flush()


class Allowance:
    """How many more jobs may be completed; a number on standard input adds to it."""

    def __init__(self, jobs: int | None) -> None:
        self._left = asyncio.Semaphore(jobs or 0)
        self._endless = jobs is None

    async def take(self) -> None:
        """Wait until one more may be."""
        if not self._endless:
            await self._left.acquire()

    async def read(self) -> None:
        """Take in what is said on standard input, until it ends."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            for _ in range(int(line)):
                self._left.release()


class Agent:
    """The API traffic of one agent."""

    def __init__(self, api: Api, namespace: str, server: str, allowance: Allowance) -> None:
        self._api = api
        self._namespace = namespace
        self._server = server
        self._allowance = allowance
        self._seen: set[str] = set()
        self._todo: asyncio.Queue[tuple[GenerationJob, Assignment]] = asyncio.Queue()

    async def run(self) -> None:
        """Follow and work, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._work())

    async def _follow(self) -> None:
        selector = {"fieldSelector": f"status.assignment.server={self._server}"}
        async for event, obj in self._api.follow(GENERATION_JOB, self._namespace, _RESYNC_SECONDS, **selector):
            if event == "DELETED":
                tell("gone", job=name_of(obj))  # it is not assigned here any more, as everybody can see
            else:
                self._see(obj)

    def _see(self, obj: Obj) -> None:
        identity = obj.get("status", {}).get("assignment", {}).get("id")
        if identity in self._seen:
            return
        job = GenerationJob.model_validate(obj)
        assignment = assigned_here(job, self._server)
        if assignment:
            self._seen.add(assignment.id)
            tell("assigned", job=name_of(obj), id=assignment.id, server=self._server)
            self._todo.put_nowait((job, assignment))

    async def _work(self) -> None:
        while True:
            job, assignment = await self._todo.get()
            await self._allowance.take()
            tell("rendered", job=job.metadata.name, id=assignment.id)
            patch = complete_patch(job, assignment, [_result(job)], 1, datetime.now(UTC), receipt=_receipt(job))
            await self._write(job.metadata.name, patch)

    async def _write(self, name: str, patch: Sequence[Operation]) -> None:
        """As patiently as a real agent."""
        delay = _FIRST_DELAY_SECONDS
        while True:
            try:
                await self._api.json_patch_status(GENERATION_JOB, name, self._namespace, patch)
            except RefusedError as error:
                if error.code in _GONE:
                    return
            else:
                return
            tell("again", job=name)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY_SECONDS)


def _result(job: GenerationJob) -> Result:
    return Result(
        name="image",
        index=0,
        uri=f"claim://comfyard-results/{job.metadata.namespace}/{job.metadata.name}/image-0-0.png",
        sha256="a" * 64,
        bytes=12345,
        content_type="image/png",
        width=64,
        height=64,
    )


def _receipt(job: GenerationJob) -> Receipt:
    before = job.status.receipt or Receipt(template="")
    server = ReceiptServer(image="comfyui:bench", comfyui="0.3.64", gpu="played")
    return before.model_copy(update={"graph": f"sha256:{'b' * 64}", "server": server})


async def main(kubeconfig: Path, namespace: str, jobs: int | None) -> None:
    """Play until standard input ends."""
    allowance = Allowance(jobs)
    async with Api(kubeconfig, USER_AGENT) as kubelet, Api(kubeconfig, AGENT) as agents:

        async def serve(pod: Obj, ready: Ready) -> None:
            name = name_of(pod)
            await ready()
            tell("ready", server=name)
            try:
                await Agent(agents, namespace, name, allowance).run()
            finally:
                tell("ended", server=name)

        playing = asyncio.create_task(Kubelet(kubelet, namespace, serve).run())
        reading = asyncio.create_task(allowance.read())
        await asyncio.wait({playing, reading}, return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            await playing
        playing.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("namespace")
    parser.add_argument("--jobs", type=int, help="so many are completed, until more are allowed; without: all")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.kubeconfig, arguments.namespace, arguments.jobs))
