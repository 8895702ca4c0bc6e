"""One attempt at a time, against a server that is told to misbehave."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from comfyard.store import errors
from comfyard.store.http.web import Web
from comfyard.store.origin import Local
from comfyard.store.stop import Stop
from comfyard.store.transfer.download import Downloaded, Options, Progress
from comfyard.store.transfer.journal import Journal
from comfyard.store.transfer.ranges import copy, version_of
from comfyard.store.transfer.space import Space
from tests.unit.store.downloads import At, Bench, at, tmpfs
from tests.unit.store.source_server import PIECE, Source, noise, sha256

SIZE = 3_000_000
CONTENT = noise(SIZE)


def stop_when(event: threading.Event, stop: Stop) -> None:
    event.wait()
    stop.ask()


@pytest.fixture
def bench(tmp_path: Path, web: Web) -> Bench:
    return Bench(tmp_path, web)


def test_a_file_comes(source: Source, bench: Bench) -> None:
    got = bench.fetch(source.serve("x", CONTENT))
    assert got == Downloaded(sha256(CONTENT), blake3(CONTENT).hexdigest(), SIZE, resumed=False)
    assert bench.content == CONTENT
    assert bench.last == Progress(SIZE, SIZE, SIZE)
    assert source.requests[0]["Accept-Encoding"] == "identity"
    assert source.requests[0]["User-Agent"].startswith("comfyard/")
    assert "Authorization" not in source.requests[0]


@pytest.mark.parametrize("validator", ["etag", "weak", "modified"])
def test_a_broken_answer_is_continued(source: Source, bench: Bench, validator: str) -> None:
    url = source.serve("x", CONTENT, cuts=[2_000_000, 500_000], validator=validator)
    for _ in range(2):
        with pytest.raises(errors.UnreachableError):
            bench.fetch(url)
    assert bench.fetch(url) == Downloaded(sha256(CONTENT), blake3(CONTENT).hexdigest(), SIZE, resumed=True)
    first = [request["Range"].partition("-")[0] for request in source.requests]
    assert first == ["bytes=0", "bytes=2000000", "bytes=2500000"]
    version = source.files["x"].etag if validator == "etag" else source.files["x"].modified
    assert [request.get("If-Range") for request in source.requests] == [None, version, version]
    assert source.sent == SIZE
    assert bench.last == Progress(SIZE, SIZE, 500_000)


@pytest.mark.parametrize("how", [{"validator": "none"}, {"ranges": False}])
def test_where_it_cannot_be_continued_it_starts_over(source: Source, bench: Bench, how: dict[str, object]) -> None:
    url = source.serve("x", CONTENT, cuts=[1_900_000, 2_000_000], **how)
    with pytest.raises(errors.UnreachableError):
        bench.fetch(url)
    source.files["x"].cuts.clear()
    assert bench.fetch(url).sha256 == sha256(CONTENT)


def test_a_changed_source_is_fetched_anew(source: Source, bench: Bench) -> None:
    url = source.serve("x", noise(SIZE, seed=1), cuts=[2_000_000])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(url)
    source.serve("x", CONTENT)
    assert bench.fetch(url).sha256 == sha256(CONTENT)


@pytest.mark.parametrize(("first", "change"), [(0, {"shift": 100}), (1, {"honest_if_range": False})])
def test_a_server_that_continues_something_else_is_not_believed(
    source: Source, bench: Bench, first: int, change: dict[str, object]
) -> None:
    url = source.serve("x", noise(SIZE, seed=first), cuts=[2_000_000])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(url)
    source.serve("x", CONTENT, **change)
    with pytest.raises(errors.SourceChangedError):
        bench.fetch(url)
    assert bench.unfinished() == []
    source.serve("x", CONTENT)
    assert bench.fetch(url).sha256 == sha256(CONTENT)


def test_a_file_that_shrank_is_fetched_anew(source: Source, bench: Bench) -> None:
    small = CONTENT[:1000]
    url = source.serve("x", noise(SIZE, seed=1), cuts=[2_000_000])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(url)
    source.serve("x", small, honest_if_range=False)
    with pytest.raises(errors.SourceChangedError, match="416"):
        bench.fetch(url)
    assert bench.fetch(url).size == 1000


def test_another_size_than_before_is_another_file(source: Source, bench: Bench) -> None:
    url = source.serve("x", noise(SIZE, seed=1), cuts=[2_000_000])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(url)
    source.serve("x", CONTENT[:2_500_000], honest_if_range=False)
    with pytest.raises(errors.SourceChangedError, match="2500000 bytes now, it had 3000000"):
        bench.fetch(url)


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ({"answers": [(401, {})]}, errors.UnauthorizedError),
        ({"answers": [(403, {})]}, errors.ForbiddenError),
        ({"answers": [(410, {})]}, errors.NotFoundError),
        ({"answers": [(503, {"Retry-After": "7"})]}, errors.UnreachableError),
        ({"answers": [(429, {"Retry-After": "7"})]}, errors.RateLimitedError),
        ({"answers": [(302, {"Location": "ftp://h/x?secret"})]}, errors.RefusedError),
        ({"answers": [(302, {"Location": "http://[h/x?secret"})]}, errors.RefusedError),
        ({"answers": [(302, {"Location": "/x"})] * 20}, errors.RefusedError),
        ({"answers": [(302, {})]}, errors.RefusedError),
        ({"encoding": "gzip"}, errors.RefusedError),
        ({"cuts": [0]}, errors.UnreachableError),
        ({"chunked": True, "ranges": False, "cuts": [1_000_000]}, errors.UnreachableError),
        ({"length": 4_000_000, "ranges": False}, errors.UnreachableError),
    ],
)
def test_answers_that_are_no_file(
    source: Source, bench: Bench, how: dict[str, object], kind: type[errors.StoreError]
) -> None:
    url = source.serve("x", CONTENT, **how)
    with pytest.raises(kind) as caught:
        bench.fetch(f"{url}?secret")
    assert caught.value.retry_after in {None, 7.0}
    assert "secret" not in str(caught.value)


def test_a_length_that_is_too_short_is_believed_and_the_digest_tells(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT, length=2_000_000, ranges=False)
    assert bench.fetch(url).sha256 == sha256(CONTENT[:2_000_000])


def test_a_redirect_is_followed_and_continued(source: Source, bench: Bench) -> None:
    source.serve("far", CONTENT, cuts=[2_000_000])
    url = source.serve("near", b"", answers=[(307, {"Location": "/far?signature=1"}), (307, {"Location": "/far?2"})])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(url)
    assert bench.fetch(url).size == SIZE
    assert source.sent == SIZE


def test_without_a_length_it_comes_too_and_is_known_to_be_whole(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT, chunked=True, ranges=False)
    assert bench.fetch(url).size == SIZE
    assert bench.fetch(url).resumed
    assert len(source.requests) == 1


def test_without_a_length_it_is_continued(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT, chunked=True, ranges=False, cuts=[2_000_000])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(url)
    source.files["x"].ranges = True
    assert bench.fetch(url).sha256 == sha256(CONTENT)
    assert source.requests[-1]["Range"] == "bytes=2000000-"
    assert source.sent == SIZE


@pytest.mark.parametrize("ranges", [True, False])
def test_nothing_is_a_file_too(source: Source, bench: Bench, ranges: bool) -> None:  # noqa: FBT001 - a parameter
    assert bench.fetch(source.serve("x", b"", ranges=ranges)).sha256 == sha256(b"")
    assert bench.content == b""


def test_nobody_there(bench: Bench) -> None:
    with pytest.raises(errors.UnreachableError, match=r"127\.0\.0\.1.*Connection refused"):
        bench.fetch("http://127.0.0.1:9/x")


def test_a_silent_server_is_given_up(source: Source, tmp_path: Path) -> None:
    url = source.serve("x", CONTENT, stall_after=1_000_000)
    with Web(read_seconds=0.2) as web, pytest.raises(errors.UnreachableError, match="Timeout"):
        Bench(tmp_path, web).fetch(url)


@pytest.mark.parametrize("after", [0, 1_000_000])
def test_a_wait_for_bytes_can_be_ended(source: Source, bench: Bench, after: int) -> None:
    url = source.serve("x", CONTENT, stall_after=after)
    stop = Stop()

    def end_it() -> None:
        bench.reached.wait() if after else source.stalled.wait()
        stop.ask()

    bench.watch_for = after
    thread = threading.Thread(target=end_it, daemon=True)
    thread.start()
    with pytest.raises(errors.StoppedError):
        bench.fetch(url, stop=stop)
    thread.join()
    source.files["x"].stall_after = None
    bench.fetch(url)
    resumed_at = int(source.requests[-1]["Range"].removeprefix("bytes=").partition("-")[0])
    assert after <= resumed_at <= after + PIECE


def test_who_stops_before_it_begins_gets_nothing(source: Source, bench: Bench) -> None:
    stop = Stop()
    stop.ask()
    with pytest.raises(errors.StoppedError):
        bench.fetch(source.serve("x", CONTENT), stop=stop)
    assert source.requests == []
    assert bench.unfinished() == []


def test_what_is_whole_is_only_hashed(source: Source, bench: Bench) -> None:
    """A kill between the last byte and the judgement."""
    url = source.serve("x", CONTENT)
    bench.fetch(url)
    got = bench.fetch(url)
    assert got == Downloaded(sha256(CONTENT), blake3(CONTENT).hexdigest(), SIZE, resumed=True)
    assert len(source.requests) == 1


def test_it_may_be_left_unhashed(source: Source, bench: Bench) -> None:
    bench.options = Options(hashed=False)
    assert bench.fetch(at(source.serve("x", CONTENT), sha256="0" * 64)) == Downloaded("", "", SIZE, resumed=False)
    assert bench.content == CONTENT


def test_what_the_source_says_is_held_against_what_is_wanted_before_a_byte(source: Source, bench: Bench) -> None:
    origin = at(source.serve("x", CONTENT), sha256=sha256(CONTENT))
    wanted = "a" * 64
    with pytest.raises(errors.DigestMismatchError, match=f"wanted sha256 {wanted}, got {sha256(CONTENT)}"):
        bench.fetch(origin, wanted)
    assert source.requests == []
    assert bench.fetch(origin, sha256(CONTENT)).size == SIZE


def test_what_the_source_says_is_held_against_what_it_gives(source: Source, bench: Bench) -> None:
    origin = at(source.serve("x", CONTENT, cuts=[1_000_000]), sha256="a" * 64)
    with pytest.raises(errors.UnreachableError):
        bench.fetch(origin)
    with pytest.raises(errors.SourceChangedError, match=f"make sha256 {sha256(CONTENT)}, the source says a"):
        bench.fetch(origin)  # the first part may be to blame
    with pytest.raises(errors.DigestMismatchError):
        bench.fetch(origin)
    assert bench.unfinished() == []


def test_a_source_that_says_something_else_now_is_fetched_anew(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT, cuts=[1_000_000])
    with pytest.raises(errors.UnreachableError):
        bench.fetch(at(url, sha256="a" * 64))
    assert not bench.fetch(at(url, sha256=sha256(CONTENT))).resumed
    assert source.sent == SIZE + 1_000_000


def test_a_size_that_is_not_what_the_source_says(source: Source, bench: Bench) -> None:
    with pytest.raises(errors.SourceChangedError, match="comes with 3000000 bytes, and should have 7"):
        bench.fetch(at(source.serve("x", CONTENT), size=7))


def test_mirrors_with_etags_of_their_own_give_one_file(source: Source, bench: Bench) -> None:
    """Where the source names the content, another ETag is not another version."""
    url = source.serve("x", CONTENT, cuts=[2_000_000])
    origin = at(url, sha256=sha256(CONTENT))
    with pytest.raises(errors.UnreachableError):
        bench.fetch(origin)
    source.files["x"].validator = "modified"
    assert bench.fetch(origin).resumed
    assert source.sent == SIZE


@pytest.fixture
def lent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("lent") / "file"
    file.write_bytes(CONTENT)
    return file


def test_a_local_file_is_copied(bench: Bench, lent: Path) -> None:
    got = bench.fetch(At(lambda: Local(lent, "it")))
    assert got == Downloaded(sha256(CONTENT), blake3(CONTENT).hexdigest(), SIZE, resumed=False)
    assert bench.content == CONTENT
    assert bench.last == Progress(SIZE, SIZE, SIZE)


def test_a_copy_is_continued(bench: Bench, lent: Path) -> None:
    bench.options = Options(checkpoint_seconds=0)
    stop = Stop()
    stopping = replace(bench, watch_for=1)
    thread = threading.Thread(target=stop_when, args=(stopping.reached, stop), daemon=True)
    thread.start()
    with lent.open("ab") as file:
        file.truncate(200_000_000)  # long enough to be stopped in
    with pytest.raises(errors.StoppedError):
        stopping.fetch(At(lambda: Local(lent, "it")), stop=stop)
    thread.join()
    journal = bench.journal
    assert journal is not None
    assert 0 < journal.durable[0][1] < 200_000_000
    bench.options = Options()
    assert bench.fetch(At(lambda: Local(lent, "it"))).resumed
    assert bench.content == lent.read_bytes()
    assert bench.last is not None
    assert bench.last.received == 200_000_000 - journal.durable[0][1]


def test_a_local_file_that_is_another_one_now_is_copied_anew(bench: Bench, lent: Path) -> None:
    bench.fetch(At(lambda: Local(lent, "it")))
    bench.partial.journal.write_text(bench.partial.journal.read_text().replace(f"[[0,{SIZE}]]", "[[0,1000000]]"))
    other = noise(SIZE, seed=1)
    lent.write_bytes(other)
    got = bench.fetch(At(lambda: Local(lent, "it")))
    assert (got.sha256, got.resumed) == (sha256(other), False)


@pytest.mark.parametrize("size", [SIZE + 1, SIZE - 1])
def test_a_local_file_that_is_written_to_meanwhile_is_no_file(bench: Bench, lent: Path, size: int) -> None:
    with lent.open("rb") as file, Space(bench.directory).promise(0) as promise:
        journal = Journal(source="k", validator=version_of(file.fileno()), size=SIZE)
        os.truncate(lent, size)
        with (
            bench.partial.writing(journal, 1000, promise) as writer,
            pytest.raises(errors.SourceChangedError, match="it was written to"),
        ):
            copy(file.fileno(), "it", journal, writer, Stop(), 1_000_000)


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A volume of 80 MiB, with 10 MiB left."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs")
    with tmpfs(tmp_path / "volume", "80m") as volume:
        yield volume


def fill(volume: Path, size: int = 70 * 1024 * 1024) -> Path:
    ballast = volume / "ballast"
    ballast.write_bytes(bytes(size))
    return ballast


def place(volume: Path, web: Web, options: Options) -> Bench:
    directory = volume / "partial"
    directory.mkdir()
    return Bench(directory, web, options)


@pytest.mark.parametrize("length", ["announced", "unknown"])
def test_a_full_volume(source: Source, web: Web, small_volume: Path, length: str) -> None:
    ballast = fill(small_volume)
    bench = place(small_volume, web, Options(checkpoint_seconds=0.05))
    content = noise(12_000_000)
    url = source.serve("x", content, chunked=length == "unknown", ranges=length == "announced")
    with pytest.raises(errors.NoSpaceError, match="claim") as caught:
        bench.fetch(url)
    assert not caught.value.permanent
    assert caught.value.needed == (len(content) if length == "announced" else None)
    assert bench.unfinished() == ([] if length == "announced" else [".journal", ".part"])
    ballast.unlink()
    source.files["x"].ranges = True
    assert bench.fetch(url).sha256 == hashlib.sha256(content).hexdigest()
    resumed = source.requests[-1]["Range"] != "bytes=0-16777215"
    assert resumed == (length == "unknown")


def test_room_is_taken_at_once_but_nothing_looks_finished(source: Source, web: Web, small_volume: Path) -> None:
    bench = place(small_volume, web, Options())
    url = source.serve("x", noise(12_000_000), stall_after=1_000_000)
    bench.watch_for = 900_000
    stop = Stop()
    before = os.statvfs(small_volume)
    thread = threading.Thread(target=stop_when, args=(bench.reached, stop), daemon=True)
    thread.start()
    with pytest.raises(errors.StoppedError):
        bench.fetch(url, stop=stop)
    thread.join()
    after = os.statvfs(small_volume)
    assert (before.f_bfree - after.f_bfree) * after.f_frsize >= 12_000_000
    assert bench.partial.data.stat().st_size < 2_000_000
    fill(small_volume, after.f_bavail * after.f_frsize - 1024 * 1024)
    source.files["x"].stall_after = None
    assert bench.fetch(url).size == 12_000_000  # its room was its own


def test_the_volume_fills_up_below_a_preallocated_file(source: Source, web: Web, small_volume: Path) -> None:
    """Its room is taken, its journal's is not: a bit of the data makes way."""
    bench = place(small_volume, web, Options())
    url = source.serve("x", noise(12_000_000), stall_after=8_000_000)
    bench.watch_for = 7_900_000
    stop = Stop()

    def fill_then_stop() -> None:
        bench.reached.wait()
        with (small_volume / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
            while ballast.write(bytes(4096)):
                pass
        stop.ask()

    thread = threading.Thread(target=fill_then_stop, daemon=True)
    thread.start()
    with pytest.raises(errors.StoppedError):
        bench.fetch(url, stop=stop)
    thread.join()
    journal = bench.journal
    assert journal is not None
    assert journal.durable[0][1] > 6_000_000
