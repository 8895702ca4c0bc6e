"""One attempt at a time, against a server that is told to misbehave."""

import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from comfyard.api.model_bundle import Source as ApiSource
from comfyard.store import errors
from comfyard.store.download import Options, Progress
from comfyard.store.http import http_client
from comfyard.store.sources import origin_of
from comfyard.store.stop import Stop
from comfyard.store.store import Store
from comfyard.store.wants import Stored, Want
from tests.unit.store.source_server import PIECE, Source, noise, safetensors, sha256

SIZE = 3_000_000
CONTENT = noise(SIZE)
PATH = "checkpoints/model.bin"


def want(url: str, digest: str | None = sha256(CONTENT), path: str = PATH) -> Want:
    return Want(path, ApiSource.model_validate({"http": {"url": url}}), digest)


@dataclass
class Bench:
    """A store, and what it takes to fetch into it."""

    store: Store
    client: httpx2.Client
    last: Progress | None = None
    watch_for: int = 0
    reached: threading.Event = field(default_factory=threading.Event)

    def fetch(self, one: Want, stop: Stop | None = None) -> Stored:
        return self.store.fetch(one, origin_of(one.source, self.client), self._report, stop or Stop())

    def recover(self, one: Want) -> Stored | None:
        return self.store.recover(one, self._report, Stop())

    def visible(self) -> list[str]:
        """All that ComfyUI could list."""
        root = self.store.layout.root
        found = [path for path in root.rglob("*") if path.is_file() and ".comfyard" not in path.parts]
        return sorted(str(path.relative_to(root)) for path in found)

    def unfinished(self) -> list[str]:
        return sorted(path.suffix for path in self.store.layout.partial.iterdir())

    def _report(self, progress: Progress) -> None:
        self.last = progress
        if progress.bytes >= self.watch_for:
            self.reached.set()


@pytest.fixture
def bench(store: Store, client: httpx2.Client) -> Bench:
    return Bench(store, client)


def test_a_file_comes_into_place(source: Source, bench: Bench) -> None:
    one = want(source.serve("x", CONTENT))
    before = os.umask(0o077)
    try:
        assert bench.fetch(one) == Stored(sha256(CONTENT), SIZE)
    finally:
        os.umask(before)
    file = bench.store.layout.root / PATH
    assert file.read_bytes() == CONTENT
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o755
    assert stat.S_IMODE(bench.store.layout.blobs.stat().st_mode) == 0o755
    assert file.samefile(bench.store.layout.blobs / sha256(CONTENT))
    assert bench.unfinished() == []
    assert bench.last == Progress(SIZE, SIZE, SIZE)
    assert source.requests[0]["Accept-Encoding"] == "identity"
    assert source.requests[0]["User-Agent"].startswith("comfyard/")
    assert bench.store.settle(one) == Stored(sha256(CONTENT), SIZE)
    assert len(source.requests) == 1


@pytest.mark.parametrize("validator", ["etag", "weak", "modified"])
def test_a_broken_answer_is_continued(source: Source, bench: Bench, validator: str) -> None:
    url = source.serve("x", CONTENT, cuts=[2_000_000, 500_000], validator=validator)
    for _ in range(2):
        with pytest.raises(errors.UnreachableError):
            bench.fetch(want(url))
        assert bench.visible() == []
    assert bench.fetch(want(url)).size == SIZE
    assert [request.get("Range") for request in source.requests] == [None, "bytes=2000000-", "bytes=2500000-"]
    assert source.sent == SIZE
    assert bench.last == Progress(SIZE, SIZE, 500_000)


@pytest.mark.parametrize("how", [{"validator": "none"}, {"ranges": False}])
def test_where_it_cannot_be_continued_it_starts_over(source: Source, bench: Bench, how: dict[str, object]) -> None:
    url = source.serve("x", CONTENT, cuts=[2_000_000], **how)
    with pytest.raises(errors.UnreachableError):
        bench.fetch(want(url))
    assert bench.fetch(want(url)).sha256 == sha256(CONTENT)
    assert source.sent == SIZE + 2_000_000


def test_a_changed_source_is_fetched_anew(source: Source, bench: Bench) -> None:
    url = source.serve("x", noise(SIZE, seed=1), cuts=[2_000_000])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(want(url))
    source.serve("x", CONTENT)
    assert bench.fetch(want(url)).sha256 == sha256(CONTENT)


@pytest.mark.parametrize(("first", "change"), [(0, {"shift": 100}), (1, {"honest_if_range": False})])
def test_a_server_that_continues_something_else_is_not_believed(
    source: Source, bench: Bench, first: int, change: dict[str, object]
) -> None:
    url = source.serve("x", noise(SIZE, seed=first), cuts=[2_000_000])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(want(url))
    source.serve("x", CONTENT, **change)
    with pytest.raises(errors.SourceChangedError):
        bench.fetch(want(url))
    assert bench.unfinished() == []
    source.serve("x", CONTENT)
    assert bench.fetch(want(url)).sha256 == sha256(CONTENT)


def test_a_file_that_shrank_is_fetched_anew(source: Source, bench: Bench) -> None:
    small = CONTENT[:1000]
    url = source.serve("x", noise(SIZE, seed=1), cuts=[2_000_000])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(want(url, sha256(small)))
    source.serve("x", small, honest_if_range=False)
    with pytest.raises(errors.SourceChangedError, match="416"):
        bench.fetch(want(url, sha256(small)))
    assert bench.fetch(want(url, sha256(small))).size == 1000


def test_two_versions_mixed_by_the_server_get_one_more_chance(source: Source, bench: Bench) -> None:
    other = noise(SIZE, seed=1)
    url = source.serve("x", other, cuts=[2_000_000], validator="modified")
    served = source.files["x"]
    with pytest.raises(errors.UnreachableError):
        bench.fetch(want(url))
    served.content = other[:64] + CONTENT[64:]  # the validator is made of the first bytes: a liar
    with pytest.raises(errors.SourceChangedError, match="anew"):
        bench.fetch(want(url))
    assert bench.visible() == []
    with pytest.raises(errors.DigestMismatchError):
        bench.fetch(want(url))
    served.content = CONTENT
    assert bench.fetch(want(url)).sha256 == sha256(CONTENT)


def test_other_content_is_never_visible(source: Source, bench: Bench) -> None:
    other = noise(1000, seed=1)
    url = source.serve("x", other)
    with pytest.raises(errors.DigestMismatchError) as caught:
        bench.fetch(want(url))
    assert sha256(CONTENT) in str(caught.value)
    assert sha256(other) in str(caught.value)
    assert bench.visible() == bench.unfinished() == []
    assert list(bench.store.layout.blobs.iterdir()) == []


def test_a_web_page_is_no_model(source: Source, bench: Bench) -> None:
    url = source.serve("x", b"<!DOCTYPE html><title>Sign in</title>" + bytes(3000))
    one = want(url, None, "checkpoints/x.safetensors")
    with pytest.raises(errors.NotASafetensorsError, match="web page"):
        bench.fetch(one)
    assert bench.visible() == bench.unfinished() == []


def test_content_that_came_under_another_name_is_checked_again(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT)
    bench.fetch(want(url))
    with pytest.raises(errors.NotASafetensorsError):
        bench.store.settle(want(url, path="checkpoints/x.safetensors"))
    assert bench.visible() == [PATH]


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ({"answers": [(401, {})]}, errors.UnauthorizedError),
        ({"answers": [(403, {})]}, errors.ForbiddenError),
        ({"answers": [(410, {})]}, errors.NotFoundError),
        ({"answers": [(503, {"Retry-After": "7"})]}, errors.UnreachableError),
        ({"answers": [(429, {"Retry-After": "7"})]}, errors.RateLimitedError),
        ({"answers": [(302, {"Location": "ftp://h/x?secret"})]}, errors.RefusedError),
        ({"answers": [(302, {"Location": "/x"})] * 20}, errors.RefusedError),
        ({"encoding": "gzip"}, errors.RefusedError),
        ({"cuts": [0]}, errors.UnreachableError),
        ({"chunked": True, "cuts": [1_000_000]}, errors.UnreachableError),
        ({"length": 4_000_000}, errors.UnreachableError),
        ({"length": 2_000_000}, errors.DigestMismatchError),
    ],
)
def test_answers_that_are_no_file(
    source: Source, bench: Bench, how: dict[str, object], kind: type[errors.StoreError]
) -> None:
    url = source.serve("x", CONTENT, **how)
    with pytest.raises(kind) as caught:
        bench.fetch(want(f"{url}?secret"))
    assert caught.value.retry_after in {None, 7.0}
    assert "secret" not in str(caught.value)
    assert bench.visible() == []


def test_a_redirect_is_followed_and_continued(source: Source, bench: Bench) -> None:
    source.serve("far", CONTENT, cuts=[2_000_000])
    url = source.serve("near", b"", answers=[(307, {"Location": "/far?signature=1"}), (307, {"Location": "/far?2"})])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(want(url))
    assert bench.fetch(want(url)).size == SIZE
    assert source.sent == SIZE


def test_without_a_length_it_comes_too(source: Source, bench: Bench) -> None:
    assert bench.fetch(want(source.serve("x", CONTENT, chunked=True))).size == SIZE


def test_nobody_there(bench: Bench) -> None:
    with pytest.raises(errors.UnreachableError, match=r"127\.0\.0\.1"):
        bench.fetch(want("http://127.0.0.1:9/x"))


def test_a_silent_server_is_given_up(source: Source, store: Store) -> None:
    url = source.serve("x", CONTENT, stall_after=1_000_000)
    with http_client(read_seconds=0.2) as client, pytest.raises(errors.UnreachableError, match="Timeout"):
        Bench(store, client).fetch(want(url))


@pytest.mark.parametrize("after", [0, 1_000_000])
def test_a_wait_for_bytes_can_be_ended(source: Source, store: Store, client: httpx2.Client, after: int) -> None:
    bench = Bench(Store(store.layout.root, Options(batch=1)), client)
    url = source.serve("x", CONTENT, stall_after=after)
    stop = Stop()

    def end_it() -> None:
        bench.reached.wait() if after else source.stalled.wait()
        stop.ask()

    bench.watch_for = after
    thread = threading.Thread(target=end_it)
    thread.start()
    with pytest.raises(errors.StoppedError):
        bench.fetch(want(url), stop)
    thread.join()
    source.files["x"].stall_after = None
    bench.fetch(want(url))
    resumed_at = source.requests[-1].get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
    assert after <= int(resumed_at) <= after + PIECE


def test_what_is_whole_is_only_hashed(source: Source, bench: Bench) -> None:
    """A kill between the last byte and the judgement."""
    url = source.serve("x", CONTENT)
    stop = Stop()
    bench.store._blobs.install = _interrupt  # type: ignore[method-assign,assignment]  # noqa: SLF001 - a crash there
    with pytest.raises(KeyboardInterrupt):
        bench.fetch(want(url), stop)
    again = Bench(Store(bench.store.layout.root), bench.client)
    assert again.fetch(want(url)).size == SIZE
    assert len(source.requests) == 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_the_first_content_of_a_source_is_remembered(source: Source, bench: Bench) -> None:
    content = safetensors(1000)
    url = source.serve("x", content)
    one, two = want(url, None, "loras/a.safetensors"), want(url, None, "loras/b.safetensors")
    assert bench.store.settle(one) is None
    assert bench.fetch(one) == Stored(sha256(content), len(content))
    assert bench.store.settle(one) == bench.store.settle(two) == Stored(sha256(content), len(content))
    assert bench.visible() == ["loras/a.safetensors", "loras/b.safetensors"]
    assert bench.store.settle(want(f"{url}?2", None)) is None


def test_a_wrong_file_is_replaced(source: Source, bench: Bench) -> None:
    one = want(source.serve("x", CONTENT))
    file = bench.store.layout.root / PATH
    file.parent.mkdir()
    file.write_bytes(b"of last year")
    assert bench.store.settle(one) is None
    assert bench.recover(one) is None
    assert file.read_bytes() == b"of last year"
    bench.fetch(one)
    assert file.read_bytes() == CONTENT
    other = want(source.serve("y", b"newer"), sha256(b"newer"))
    bench.fetch(other)
    assert file.read_bytes() == b"newer"
    assert bench.store.settle(one) == Stored(sha256(CONTENT), SIZE)
    assert file.read_bytes() == CONTENT


def test_a_right_file_is_taken_over(bench: Bench) -> None:
    one = want("http://127.0.0.1:9/never-asked")
    file = bench.store.layout.root / PATH
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    file.chmod(0o600)
    assert bench.store.settle(one) is None
    assert bench.recover(one) == Stored(sha256(CONTENT), SIZE)
    assert bench.store.settle(one) == Stored(sha256(CONTENT), SIZE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_a_file_that_was_written_to_is_noticed_and_taken_away(source: Source, bench: Bench) -> None:
    one = want(source.serve("x", CONTENT))
    bench.fetch(one)
    with (bench.store.layout.root / PATH).open("r+b") as file:
        file.write(b"rot")
    assert bench.store.settle(one) is None
    assert bench.recover(one) is None
    assert bench.visible() == []
    assert bench.fetch(one).size == SIZE


def test_a_touched_file_is_hashed_once(source: Source, bench: Bench) -> None:
    one = want(source.serve("x", CONTENT))
    bench.fetch(one)
    (bench.store.layout.root / PATH).touch()
    assert bench.store.settle(one) is None
    assert bench.recover(one) == bench.store.settle(one) == Stored(sha256(CONTENT), SIZE)


def test_a_path_that_was_removed_comes_back(source: Source, bench: Bench) -> None:
    one = want(source.serve("x", CONTENT))
    bench.fetch(one)
    (bench.store.layout.root / PATH).unlink()
    assert bench.store.settle(one)
    assert bench.visible() == [PATH]
    assert len(source.requests) == 1


def test_links_are_replaced_not_written_through(
    source: Source, bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "file"
    outside.write_bytes(b"mine")
    link = bench.store.layout.root / PATH
    link.parent.mkdir()
    link.symlink_to(outside)
    one = want(source.serve("x", CONTENT))
    assert bench.recover(one) is None
    bench.fetch(one)
    assert outside.read_bytes() == b"mine"
    assert not link.is_symlink()


def test_a_directory_in_the_way_is_named(source: Source, bench: Bench) -> None:
    (bench.store.layout.root / PATH).mkdir(parents=True)
    with pytest.raises(errors.PathConflictError, match="is a directory"):
        bench.recover(want(source.serve("x", CONTENT)))


def test_only_wanted_unfinished_files_stay(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT, cuts=[2_000_000])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(want(url))
    (bench.store.layout.partial / "sha256-0.journal.new").write_bytes(b"a crash")
    bench.store.sweep({want(url).content_key})
    assert bench.unfinished() == [".journal", ".part"]
    bench.store.sweep(set())
    assert bench.unfinished() == []


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A volume of 80 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs")
    volume = tmp_path / "volume"
    volume.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", volume], check=False)
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    try:
        yield volume
    finally:
        subprocess.run(["umount", volume], check=True)


@pytest.mark.parametrize("length", ["announced", "unknown"])
def test_a_full_volume(source: Source, client: httpx2.Client, small_volume: Path, length: str) -> None:
    store = Store(small_volume, Options(checkpoint_seconds=0.05))
    store.layout.prepare()
    bench = Bench(store, client)
    ballast = small_volume / "ballast"
    ballast.write_bytes(bytes(70 * 1024 * 1024))
    content = noise(12_000_000)
    url = source.serve("x", content, chunked=length == "unknown")
    with pytest.raises(errors.NoSpaceError, match="claim") as caught:
        bench.fetch(want(url, sha256(content)))
    assert not caught.value.permanent
    assert bench.visible() == ["ballast"]
    assert bench.unfinished() == ([] if length == "announced" else [".journal", ".part"])
    ballast.unlink()
    assert bench.fetch(want(url, sha256(content))).size == len(content)
    assert ("Range" in source.requests[-1]) == (length == "unknown")
