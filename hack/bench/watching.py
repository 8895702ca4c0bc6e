"""One watch of a namespace's jobs, as a user's program has it: when each was seen in which state."""

import asyncio
import time
from collections.abc import Sequence

from comfyard.kube.kinds import GENERATION_JOB, name_of
from hack.bench.api import Api
from hack.bench.player import BenchError

_WATCH_SECONDS = 3600.0


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
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        _, version = await self._api.list(GENERATION_JOB, self._namespace)
        async for _, job in self._api.watch(GENERATION_JOB, self._namespace, version, _WATCH_SECONDS):
            state = job.get("status", {}).get("state", "Pending")
            self.uids[name_of(job)] = job["metadata"]["uid"]
            self.seen.setdefault(state, {}).setdefault(name_of(job), time.time())
            self._changed.set()

    async def until_complete(self, names: Sequence[str], seconds: float) -> None:
        """Wait until these jobs are Complete. Raises BenchError when it takes too long, or one has failed."""
        left = set(names)
        deadline = time.monotonic() + seconds
        while left := left - self.seen.get("Complete", {}).keys():
            if time.monotonic() > deadline or self.seen.get("Failed"):
                failed = len(self.seen.get("Failed", {}))
                raise BenchError(
                    f"{len(left)} of {len(names)} jobs are not Complete in {seconds:.0f} s, {failed} failed"
                )
            self._changed.clear()
            try:
                async with asyncio.timeout(1):
                    await self._changed.wait()
            except TimeoutError:
                continue
