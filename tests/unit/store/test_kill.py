"""SIGKILL at any point costs work, never correctness."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from comfyard.api.model_bundle import Source as ApiSource
from tests.unit.store.downloads import tmpfs
from tests.unit.store.forker import BATCH, BUFFER, CONNECTIONS, File, Life
from tests.unit.store.source_server import Served, Source, running, safetensors, sha256

KILLS = 300
AT_ONCE = 3
SEED = 20_261_121
FORKER = Path(__file__).with_name("forker.py")

PIECE = 8 * 1024
IN_FLIGHT = BATCH + PIECE + 2 * BUFFER + 2 * PIECE + PIECE + 2 * PIECE
"""Bytes of one connection that were sent and are not in the journal, at most.

What the client has read, in one batch and behind the headers; its socket and the server's, of which the kernel doubles
the sizes; what the server holds; and what sockets take beyond their size.
"""

SIZES = (4_000_000, 3_000_000, 300_000, 1_500_000, 1_500_000, 2_000_000)
MOST_BYTES = 1_500_000
MOST_SECONDS = 0.2


class Forker:
    """Starts lives and says how they ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, life: Life) -> int:
        """Returns the process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{life.model_dump_json(by_alias=True)}\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def live(self, life: Life) -> int:
        """Returns how it ended."""
        self.start(life)
        return self.answer()


@contextmanager
def forking() -> Iterator[Forker]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(FORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Forker(process)
        assert process.stdin is not None
        process.stdin.close()


def check_visible(root: Path, right: dict[str, set[str]]) -> None:
    """Under a model's name there is one of its right contents or nothing, and nothing else is visible."""
    for path in root.rglob("*"):
        if path.is_file() and ".comfyard" not in path.parts:
            assert sha256(path.read_bytes()) in right[str(path.relative_to(root))]


def check_whole(root: Path, right: dict[str, set[str]]) -> None:
    """All files are there, and nothing is left over."""
    check_visible(root, right)
    there = {path: sha256((root / path).read_bytes()) for path in right}
    blobs = {name for digest in there.values() for name in (digest, f"{digest}.json")}
    own = {path.name for path in (root / ".comfyard").rglob("*") if path.is_file() and path.parent.name != "origins"}
    assert own == blobs


@dataclass
class Claim:
    """One store and what it wants: a file of each kind of source.

    Attributes:
        right: What may be visible, by path.
        resumable: How what must not be fetched again and again is served.
        others: How the rest is: it changes, or gives no parts.
    """

    life: Life
    right: dict[str, set[str]] = field(default_factory=dict)
    resumable: list[Served] = field(default_factory=list)
    others: list[Served] = field(default_factory=list)
    deaths: int = 0

    def add(self, path: str, source: Mapping[str, object], *contents: bytes, pinned: bool = True) -> None:
        digests = [sha256(content) for content in contents]
        self.right[path] = set(digests)
        self.life.files.append(
            File(path=path, source=ApiSource.model_validate(source), sha256=digests[0] if pinned else None)
        )


class Campaign:
    """Lives that are killed, one after the other, on one claim until it is whole, then on the next."""

    def __init__(self, near: Source, far: Source, forker: Forker, directory: Path, seed: int) -> None:
        self._near = near
        self._far = far
        self._forker = forker
        self._directory = directory
        self._chance = random.Random(seed)  # noqa: S311 - the same moments each time
        self._numbers = count()
        self._pid = 0
        self._kill_at = 0
        self._aiming = threading.Lock()
        self.claims: list[Claim] = []

    def run(self, kills: int) -> None:
        """Kill so many times, then let what is there come to its end."""
        claim = self._next()
        while sum(one.deaths for one in self.claims) < kills:
            end = self._live_dangerously(claim)
            assert end in {0, -signal.SIGKILL}
            check_visible(claim.life.root, claim.right)
            if end == 0:
                check_whole(claim.life.root, claim.right)
                claim = self._next()
            else:
                claim.deaths += 1
            if claim.deaths == 4:
                self._change(claim)
        self._kill_at = sys.maxsize
        assert self._forker.live(claim.life) == 0
        check_whole(claim.life.root, claim.right)

    def _next(self) -> Claim:
        number = next(self._numbers)
        root = self._directory / f"store-{number}"
        lent = self._directory / "sources" / f"lent-{number}"
        for directory in (root, lent):
            directory.mkdir(parents=True)
        claim = Claim(Life(root=root, sources=lent.parent, files=[]))
        contents = [safetensors(size, seed=self._chance.randrange(2**60)) for size in SIZES]
        ranges, behind, single, first, second, local = contents
        claim.add("checkpoints/ranges.safetensors", self._serve(f"{number}/ranges", ranges, claim.resumable), ranges)
        self._serve(f"{number}/far", behind, claim.resumable, far=True)
        self._near.serve(f"{number}/signed", b"", leads_to=(self._far, f"{number}/far"))
        signed = {"http": {"url": f"{self._near.base}/{number}/signed"}}
        claim.add("loras/signed.safetensors", signed, behind)
        claim.add("vae/single.safetensors", self._serve(f"{number}/single", single, claim.others, ranges=False), single)
        changing = self._serve(f"{number}/changing", first, claim.others)
        claim.add("unet/changing.safetensors", changing, first, second, pinned=False)
        self._second = second
        (lent / "file").write_bytes(local)
        claim.add("clip/local.safetensors", {"claim": {"name": lent.name, "path": "file"}}, local)
        self.claims.append(claim)
        return claim

    def _serve(
        self, name: str, content: bytes, among: list[Served], *, far: bool = False, **how: object
    ) -> dict[str, object]:
        source = self._far if far else self._near
        url = source.serve(name, content, on_sent=self._look, uses=5 if far else 0, **how)
        among.append(source.files[name])
        return {"http": {"url": url}}

    def _change(self, claim: Claim) -> None:
        """The source has another version from now on."""
        number = len(self.claims) - 1
        self._serve(f"{number}/changing", self._second, claim.others)

    def _sent(self) -> int:
        return self._near.sent + self._far.sent

    def _live_dangerously(self, claim: Claim) -> int:
        """Most are killed after some bytes, some after some time: before the first byte, or while it hashes."""
        by_time = self._chance.random() < 0.2
        more = self._chance.randrange(MOST_BYTES)
        timer = threading.Timer(self._chance.random() * MOST_SECONDS, self._kill)
        with self._aiming:
            self._pid = self._forker.start(claim.life)
            self._kill_at = sys.maxsize if by_time else self._sent() + more
        if by_time:
            timer.start()
        end = self._forker.answer()
        timer.cancel()
        with self._aiming:
            self._pid = 0
        return end

    def _look(self, _: int) -> None:
        if self._sent() >= self._kill_at:
            self._kill()

    def _kill(self) -> None:
        with self._aiming:
            if self._pid:
                os.kill(self._pid, signal.SIGKILL)  # it is there, perhaps as a zombie, until the next one starts


def test_hundreds_of_kills_over_a_set_of_files_and_sources(tmp_path: Path) -> None:
    with ExitStack() as stack:
        volume = stack.enter_context(tmpfs(tmp_path / "volume", "2g")) if os.geteuid() == 0 else tmp_path
        campaigns = [
            Campaign(
                stack.enter_context(running(buffer=PIECE)),
                stack.enter_context(running(buffer=PIECE)),
                stack.enter_context(forking()),
                volume / str(number),
                SEED + number,
            )
            for number in range(AT_ONCE)
        ]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(campaign.run, KILLS // AT_ONCE) for campaign in campaigns]:
                done.result()
    claims = [claim for campaign in campaigns for claim in campaign.claims]
    deaths = sum(claim.deaths for claim in claims)
    twice = sum(served.sent_twice() for claim in claims for served in claim.resumable)
    sent = sum(end - first for claim in claims for served in claim.resumable for first, end in served.spans)
    others = sum(served.sent_twice() for claim in claims for served in claim.others)
    print(  # noqa: T201 - what it costs; pytest shows it with -s
        f"{deaths} kills, {len(claims)} claims: of {sent:,} bytes that can be resumed {twice:,} were fetched twice "
        f"({twice // deaths:,} a kill); of sources without parts, or that changed, {others:,}"
    )
    assert deaths == KILLS
    assert twice <= deaths * 2 * CONNECTIONS * IN_FLIGHT  # two files of each claim can be resumed


def test_a_kill_before_each_step_on_the_volume(source: Source, tmp_path: Path) -> None:
    content = safetensors(70_000)
    path = "checkpoints/killed.safetensors"
    url = source.serve("x", content)
    file = File(path=path, source=ApiSource.model_validate({"http": {"url": url}}), sha256=sha256(content))
    right = {path: {sha256(content)}}
    with forking() as forker:
        for step in count(1):
            life = Life(root=tmp_path / str(step), sources=tmp_path, files=[file], die_before=step)
            life.root.mkdir()
            end = forker.live(life)
            check_visible(life.root, right)
            assert forker.live(life.model_copy(update={"die_before": 0})) == 0
            check_whole(life.root, right)
            if end == 0:
                break
            assert end == -signal.SIGKILL
    assert step > 30  # it was not over before it began
