"""Fetches one file per line that it reads, each time in a fresh process that the test may kill.

Forking saves the start of an interpreter for each of many lives. A line holds the directory of the store and the step
before which the process shall kill itself (0: none); steps are what it asks of the file system. It answers with the
process id, then with how it ended: the exit code, or the signal as a negative number.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path

import httpx2

from comfyard.api.model_bundle import Source
from comfyard.store.download import Options
from comfyard.store.http import http_client
from comfyard.store.sources import origin_of
from comfyard.store.stop import Stop
from comfyard.store.store import Store
from comfyard.store.wants import Want

STEPS = {"open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.truncate"}


def live(client: httpx2.Client, root: Path, url: str, path: str, sha256: str) -> None:
    store = Store(root, Options(checkpoint_seconds=0, batch=128 * 1024))
    store.layout.prepare()
    store.clear()
    want = Want(path, Source.model_validate({"http": {"url": url}}), sha256)
    if store.settle(want) or store.recover(want, lambda _: None, Stop()):
        return
    store.fetch(want, origin_of(want.source, client), lambda _: None, Stop())


def die_before(step: int, root: str) -> None:
    numbers = count(1)

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event in STEPS and (event != "open" or str(arguments[0]).startswith(root)) and next(numbers) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def main() -> None:
    url, path, sha256 = sys.argv[1:]
    client = http_client()  # has no connection yet
    for line in sys.stdin:
        root, step = line.split()
        pid = os.fork()
        if pid == 0:
            die_before(int(step), root)
            live(client, Path(root), url, path, sha256)
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


main()
