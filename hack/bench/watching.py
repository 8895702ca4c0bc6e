"""One watch of a namespace's jobs, as a user's program has it: when each was seen in which state."""

import asyncio
import time
from collections.abc import Iterable

from comfyard.kube.kinds import GENERATION_JOB, Obj, name_of
from hack.bench.api import Api
from hack.bench.player import BenchError

_WATCH_SECONDS = 3600.0
_COMPLETE, _FAILED = "Complete", "Failed"


class Watcher:
    """What was seen of jobs.

    Attributes:
        seen: When each job was first seen in each state, by state and name, in seconds since 1970.
        uids: Of the jobs, by name.
    """

    def __init__(self, api: Api, namespace: str) -> None:
        self.seen: dict[str, dict[str, float]] = {}
        self.uids: dict[str, str] = {}
        self._api = api
        self._namespace = namespace
        self._awaited: set[str] = set()
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        async for event, job in self._api.follow(GENERATION_JOB, self._namespace, _WATCH_SECONDS):
            if event != "DELETED":
                self._see(job)

    def _see(self, job: Obj) -> None:
        name, state = name_of(job), job.get("status", {}).get("state", "Pending")
        self.uids[name] = job["metadata"]["uid"]
        self.seen.setdefault(state, {}).setdefault(name, time.time())
        if state in {_COMPLETE, _FAILED}:
            self._awaited.discard(name)
            if state == _FAILED or not self._awaited:
                self._done.set()

    async def until_complete(self, names: Iterable[str], seconds: float) -> None:
        """Wait until these jobs are Complete. Raises BenchError when it takes too long, or one has failed."""
        self._awaited = set(names) - self.seen.get(_COMPLETE, {}).keys()
        self._done.clear()
        try:
            async with asyncio.timeout(seconds):
                while self._awaited and not self.seen.get(_FAILED):
                    await self._done.wait()
        except TimeoutError:
            raise BenchError(f"{len(self._awaited)} jobs are not Complete in {seconds:.0f} s") from None
        if failed := self.seen.get(_FAILED):
            raise BenchError(f"{len(failed)} jobs have failed, {min(failed)} is one of them")
