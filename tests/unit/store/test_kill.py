"""SIGKILL at any point costs work, never correctness."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from tests.unit.store.source_server import Source, safetensors, sha256

KILLS = 26
SIZE = 12_000_000
PATH = "checkpoints/killed.safetensors"
FORKER = Path(__file__).with_name("forker.py")


class Forker:
    """Starts lives and says how they ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, root: Path, die_before: int = 0) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{root} {die_before}\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> int:
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def forking(url: str, content: bytes) -> Iterator[Forker]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, str(FORKER), url, PATH, sha256(content)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Forker(process)
        assert process.stdin is not None
        process.stdin.close()


def check_visible(root: Path, content: bytes) -> None:
    """Under the model's name there is the right file or none, and nothing else is visible."""
    target = root / PATH
    assert not target.exists() or target.read_bytes() == content
    assert {path for path in root.rglob("*.safetensors") if ".comfyard" not in path.parts} <= {target}


def check_whole(root: Path, content: bytes) -> None:
    """The file is there, and nothing is left over."""
    assert (root / PATH).read_bytes() == content
    own = [path for path in (root / ".comfyard").rglob("*") if path.is_file()]
    assert sorted(path.name for path in own) == [sha256(content), f"{sha256(content)}.json"]


def test_many_kills_then_the_right_file(source: Source, tmp_path: Path) -> None:
    content = safetensors(SIZE)
    url = source.serve("x", content, rate=40_000_000)
    chance = random.Random(7)  # noqa: S311 - the same points each time
    ends: list[int] = []
    with forking(url, content) as forker:
        while len(ends) < KILLS:
            pid = forker.start(tmp_path)
            # The last lives are killed anywhere, also while it hashes, judges and publishes.
            within = SIZE // KILLS * 2 if len(ends) < KILLS - 6 else SIZE
            kill_when(source, pid, source.sent + chance.randrange(within))
            ends.append(forker.end())
            check_visible(tmp_path, content)
        source.files["x"].on_sent = lambda _: None
        forker.start(tmp_path)
        assert forker.end() == 0
    check_whole(tmp_path, content)
    assert set(ends) <= {-signal.SIGKILL, 0}
    assert ends.count(-signal.SIGKILL) >= 20
    assert source.sent < 6 * len(content)


def kill_when(source: Source, pid: int, sent: int) -> None:
    """Kill when the server has sent so much; what it has sent is not yet what has arrived."""

    def look(total: int) -> None:
        if total >= sent:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    source.files["x"].on_sent = look


def test_a_kill_before_each_step_on_the_volume(source: Source, tmp_path: Path) -> None:
    content = safetensors(150_000)
    url = source.serve("x", content)
    with forking(url, content) as forker:
        for step in count(1):
            root = tmp_path / str(step)
            root.mkdir()
            forker.start(root, step)
            end = forker.end()
            check_visible(root, content)
            forker.start(root)
            assert forker.end() == 0
            check_whole(root, content)
            if end == 0:
                break
            assert end == -signal.SIGKILL
    assert step > 30  # it was not over before it began
