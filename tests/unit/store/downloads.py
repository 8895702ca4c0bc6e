"""What tests of single downloads share: origins, a place to fetch to, and a volume that is small."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from comfyard.store.http.web import Web
from comfyard.store.origin import Local, Remote
from comfyard.store.stop import Stop
from comfyard.store.transfer.download import Downloaded, Options, Progress, download
from comfyard.store.transfer.journal import Journal, Partial, read_journal
from comfyard.store.transfer.space import Space

SMALL_PARTS = Options(connections=4, part=1024 * 1024)
"""Parts of 256 KiB to 1 MiB, so that a file of some megabytes is fetched as one of some gigabytes is."""


@dataclass
class At:
    """An origin that is where it is told to be, each time it is asked."""

    place: Callable[[], Remote | Local]
    key: str = "k"
    asked: int = 0

    @contextmanager
    def locate(self, stop: Stop) -> Iterator[Remote | Local]:
        stop.check()
        self.asked += 1
        yield self.place()


def at(url: str, **more: object) -> At:
    remote = Remote(url, url.partition("?")[0], **more)  # type: ignore[arg-type] # a test's fields
    return At(lambda: remote)


@dataclass
class Bench:
    """One unfinished file, and what it takes to fetch it."""

    directory: Path
    web: Web
    options: Options = field(default_factory=Options)
    last: Progress | None = None
    watch_for: int = 0
    reached: threading.Event = field(default_factory=threading.Event)

    @property
    def partial(self) -> Partial:
        return Partial(self.directory, "file")

    @property
    def content(self) -> bytes:
        return self.partial.data.read_bytes()

    @property
    def journal(self) -> Journal | None:
        return read_journal(self.partial.journal.read_bytes()) if self.partial.journal.exists() else None

    def unfinished(self) -> list[str]:
        return sorted(path.suffix for path in self.directory.iterdir())

    def fetch(self, origin: At | str, expected: str | None = None, stop: Stop | None = None) -> Downloaded:
        found = at(origin) if isinstance(origin, str) else origin
        space = Space(self.directory)
        return download(found, self.web, self.partial, space, self._report, stop or Stop(), self.options, expected)

    def _report(self, progress: Progress) -> None:
        self.last = progress
        if progress.bytes >= self.watch_for:
            self.reached.set()


@contextmanager
def tmpfs(directory: Path, size: str) -> Iterator[Path]:
    """A volume of that size, for tests that are root."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)
