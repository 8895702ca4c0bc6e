"""Fetches files once per line that it reads, each time in a fresh process that the test may kill.

Forking saves the start of an interpreter for each of many lives. A line says what a life is to do (`Life`, in JSON). It
answers with the process id, then with how it ended: the exit code, or the signal as a negative number. The id is not
given to another process before the next line has come, so that nobody else is killed.
"""

import asyncio
import os
import socket
import sys
from pathlib import Path

from pydantic import BaseModel
from urllib3.connection import HTTPConnection

from comfyard.api.model_bundle import Source
from comfyard.store.fetcher import Fetcher
from comfyard.store.http.web import Web
from comfyard.store.retry import Backoff
from comfyard.store.store import Store
from comfyard.store.transfer.download import Options
from comfyard.store.wants import Want
from tests.unit.store.volume import die_before

BATCH = 32 * 1024
BUFFER = 16 * 1024
"""Of a socket; the kernel doubles it."""

CONNECTIONS = 3
"""For one file."""

OPTIONS = Options(checkpoint_seconds=0, batch=BATCH, connections=CONNECTIONS, part=1024 * 1024)


class File(BaseModel):
    """A want, as JSON."""

    path: str
    source: Source
    sha256: str | None


class Life(BaseModel):
    """What one process does.

    Attributes:
        root: The store.
        sources: Where other claims are.
        files: What to fetch.
        die_before: The step on the volume before which it kills itself; 0: none.
    """

    root: Path
    sources: Path
    files: list[File]
    die_before: int = 0


async def live(web: Web, life: Life) -> None:
    store = Store(life.root, OPTIONS)
    store.layout.prepare()
    store.clear()
    backoff = Backoff(first=0.01, most=0.05)
    fetcher = Fetcher(store, web, parallel=3, backoff=backoff, sources_directory=life.sources)
    wants = [Want(file.path, file.source, file.sha256) for file in life.files]
    await asyncio.gather(*(fetcher.ensure(want, lambda _: None) for want in wants))


def main() -> None:
    HTTPConnection.default_socket_options = [
        *HTTPConnection.default_socket_options,
        (socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER),
    ]
    web = Web()  # has no connection yet
    last = 0
    for line in sys.stdin:
        life = Life.model_validate_json(line)
        if last:
            os.waitpid(last, 0)
        last = os.fork()
        if last == 0:
            if life.die_before:
                die_before(life.die_before, life.root)
            asyncio.run(live(web, life))
            os._exit(0)
        answer(last)
        ended = os.waitid(os.P_PID, last, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        answer(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
