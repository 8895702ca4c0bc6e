"""The process that plays kubelet and agents, and what it has told."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from hack.cluster.process import END_WITH_US


class BenchError(Exception):
    """A part of the benchmark itself has failed."""


class Player:
    """A running player.

    Attributes:
        pid: Its process.
        times: When each job was assigned, rendered and gone from its server, in seconds since 1970.
        executions: How often each job was rendered.
        ready: Servers that are.
        again: Writes that the API server did not take at once.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self.times: dict[str, dict[str, float]] = {"assigned": {}, "rendered": {}, "gone": {}}
        self.executions: dict[str, int] = {}
        self.ready: set[str] = set()
        self.again = 0
        self._process = process
        self._changed = asyncio.Condition()
        self._ended = False

    async def follow(self) -> None:
        """Take in what it tells, until it ends."""
        assert self._process.stdout  # noqa: S101 - it was started so
        async for line in self._process.stdout:
            async with self._changed:
                self._take(json.loads(line))
                self._changed.notify_all()
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, told: dict[str, Any]) -> None:
        match told["event"]:
            case "ready":
                self.ready.add(told["server"])
            case "ended":
                self.ready.discard(told["server"])
            case "again":
                self.again += 1
            case event:
                self.times[event].setdefault(told["job"], told["at"])
                if event == "rendered":
                    self.executions[told["job"]] = self.executions.get(told["job"], 0) + 1

    async def until(self, done: Callable[[], bool], seconds: float) -> None:
        """Wait until what it has told makes that true. Raises TimeoutError, and BenchError when it has failed."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: self._ended or done())
        if not done():
            raise BenchError(f"what plays kubelet and agents has ended with {self._process.returncode}")

    def allow(self, jobs: int) -> None:
        """Let it complete so many more."""
        assert self._process.stdin  # noqa: S101 - it was started so
        self._process.stdin.write(f"{jobs}\n".encode())


@contextlib.asynccontextmanager
async def playing(kubeconfig: Path, namespace: str, *, held: bool = False) -> AsyncIterator[Player]:
    """A player of a namespace; one that is held completes only what it is allowed to."""
    command = [
        *END_WITH_US,
        sys.executable,
        "-m",
        "hack.bench.playing",
        str(kubeconfig),
        namespace,
        *(["--jobs=0"] if held else []),
    ]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=1024 * 1024)
    player = Player(process)
    following = asyncio.create_task(player.follow())
    try:
        yield player
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        with contextlib.suppress(ProcessLookupError):  # it has failed
            process.kill()
        await process.wait()
