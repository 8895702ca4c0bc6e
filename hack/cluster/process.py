"""Processes that outlive the program that started them, found again by what was written down about them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.settings import ClusterError

END_WITH_US = ("setpriv", "--pdeathsig=SIGKILL")
"""Before a command: it ends with the thread that has started it, so that a run that is killed leaves nothing behind."""

_STARTED = 19  # the field of /proc/<pid>/stat, counted after the name, which may contain anything


def say(text: str) -> None:
    """Tell the person what is going on, at once."""
    print(text, flush=True)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], seconds: float, *, every: float = 0.1) -> bool:
    """Ask again and again.

    Args:
        condition: What is waited for.
        seconds: For how long.
        every: Seconds between two questions.

    Returns:
        Whether it came true in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True


@dataclass(frozen=True)
class Process:
    """One process. Numbers are used again, so its boot and start time belong to its identity."""

    pid: int
    started: str
    boot: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Look at a process that runs.

        Returns:
            Its identity; None when it is gone or has only not been waited for yet.
        """
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        if fields[0] in "ZX":
            return None
        return cls(pid, fields[_STARTED], Path("/proc/sys/kernel/random/boot_id").read_text().strip())

    @classmethod
    def recorded(cls, path: Path) -> Process | None:
        """Find a process again.

        Returns:
            The process written down there; None when it does not run any more.
        """
        try:
            pid, started, boot = path.read_text().split()
        except (OSError, ValueError):
            return None
        process = cls(int(pid), started, boot)
        return process if process.alive() else None

    def record(self, path: Path) -> None:
        """Write down what finds it again."""
        path.write_text(f"{self.pid} {self.started} {self.boot}\n")

    def alive(self) -> bool:
        """Whether this very process, not another one of its number, still runs."""
        return Process.of(self.pid) == self

    def kill(self) -> None:
        """End it at once, if it is still the one, and wait until it is gone."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if not wait_until(self._reaped, 10, every=0.02):
            raise ClusterError(f"process {self.pid} does not end although it was killed")

    def _reaped(self) -> bool:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return not self.alive()


@dataclass(frozen=True)
class Component:
    """A program of the cluster: how to run it, and where it writes."""

    name: str
    arguments: Sequence[str | Path]
    log: Path

    def tail(self) -> str:
        """Return the end of its log, for an error message."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-8:]
        except OSError:
            lines = []
        return "\n".join(f"  {line[:300]}" for line in lines)


def start(component: Component, *, prefix: Sequence[str] = ()) -> Process:
    """Run a component in the background.

    Args:
        component: What to run.
        prefix: A program that runs it, such as nsenter; it must not fork.

    Returns:
        Its process.
    """
    with component.log.open("ab") as log:
        child = subprocess.Popen(
            [*prefix, *component.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C at the terminal is not for it
        )
    child.returncode = 0  # it is meant to outlive this object, whose warning about that says nothing new
    process = Process.of(child.pid)
    if process is None:
        raise ClusterError(f"{component.name} ended as soon as it was started:\n{component.tail()}")
    return process


def run(*arguments: str | Path, check: bool = True, text_in: str | None = None) -> str:
    """Run a program to its end, quietly.

    Args:
        *arguments: The program and what it is told.
        check: Raise when it fails.
        text_in: Its standard input.

    Returns:
        Its standard output.

    Raises:
        ClusterError: It failed; the text has what it said.
    """
    try:
        done = subprocess.run(arguments, input=text_in, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ClusterError(f"{arguments[0]} is needed and not on PATH") from None
    if check and done.returncode != 0:
        command = " ".join(str(argument) for argument in arguments)
        raise ClusterError(f"{command} failed ({done.returncode}):\n{(done.stderr or done.stdout).strip()[-3000:]}")
    return done.stdout
