"""Several parts at once: from servers that change meanwhile, that complain, and that let addresses expire."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.store import errors
from comfyard.store.http.hosts import Hosts
from comfyard.store.http.web import Web
from comfyard.store.origin import Remote
from comfyard.store.stop import Stop
from comfyard.store.transfer import intervals
from comfyard.store.transfer.parts import Parts
from comfyard.store.transfer.ranges import part_size, smallest_part
from tests.unit.store.downloads import SMALL_PARTS, At, Bench, at
from tests.unit.store.source_server import Source, noise, running, sha256

SIZE = 6_000_000
CONTENT = noise(SIZE)
MIB = 1024 * 1024


@pytest.fixture
def bench(tmp_path: Path, web: Web) -> Bench:
    return Bench(tmp_path, web, SMALL_PARTS)


@pytest.fixture
def far() -> Iterator[Source]:
    """Another host, as a CDN is."""
    with running() as server:
        yield server


@given(st.integers(0, 10**12), st.integers(1, 64), st.integers(4, 2**30))
def test_parts_are_neither_too_large_nor_too_small(size: int, connections: int, most: int) -> None:
    part = part_size(size, connections, most)
    assert smallest_part(most) <= part <= most
    if smallest_part(most) < part < most:
        assert size // part >= 4 * connections  # none is the last one for long


def test_a_file_is_fetched_over_several_connections(source: Source, bench: Bench) -> None:
    got = bench.fetch(source.serve("x", CONTENT, rate=4_000_000))
    assert got.sha256 == sha256(CONTENT)
    assert source.files["x"].busiest == 4
    assert source.sent == SIZE
    first, *others = source.requests
    assert (first["Range"], first.get("If-Range")) == ("bytes=0-262143", None)
    assert {request["If-Range"] for request in others} == {source.files["x"].etag}


def test_only_gaps_are_fetched_again(source: Source, bench: Bench) -> None:
    """The first part hangs, the others come."""
    url = source.serve("x", CONTENT, stalls=[100_000])
    stop = Stop()

    def end_it() -> None:
        bench.reached.wait()
        stop.ask()

    bench.watch_for = 3_000_000
    thread = threading.Thread(target=end_it, daemon=True)
    thread.start()
    with pytest.raises(errors.StoppedError):
        bench.fetch(url, stop=stop)
    thread.join()
    journal = bench.journal
    assert journal is not None
    there = intervals.total(journal.durable)
    assert 3_000_000 <= there < SIZE - 100_000
    assert len(journal.durable) > 1
    assert bench.fetch(source.serve("the same", CONTENT)).sha256 == sha256(CONTENT)
    spans = source.files["the same"].spans
    assert sum(end - first for first, end in spans) == SIZE - there


def test_a_source_that_changes_meanwhile_is_fetched_anew_in_one_piece(source: Source, bench: Bench) -> None:
    url = source.serve("x", noise(SIZE, seed=1), rate=4_000_000)
    served = source.files["x"]

    def change(sent: int) -> None:
        if sent > 2_000_000:
            served.content, served.rate = CONTENT, 0

    served.on_sent = change
    got = bench.fetch(url)
    assert (got.sha256, got.resumed) == (sha256(CONTENT), False)
    assert "Range" not in source.requests[-1]


def test_servers_that_disagree_give_the_file_in_one_piece(source: Source, bench: Bench) -> None:
    """Behind one address, with ETags of their own; the content is the same."""
    url = source.serve("x", CONTENT, others=[CONTENT + b"!"])
    assert bench.fetch(url).sha256 in {sha256(CONTENT), sha256(CONTENT + b"!")}


@pytest.mark.parametrize("most", [1, 2])
def test_a_host_that_takes_few_connections_is_asked_for_few(source: Source, tmp_path: Path, most: int) -> None:
    hosts = Hosts()
    with Web(hosts=hosts) as web:
        bench = Bench(tmp_path, web, SMALL_PARTS)
        url = source.serve("x", CONTENT, most=most, rate=8_000_000)
        assert bench.fetch(url).sha256 == sha256(CONTENT)
        assert source.sent == SIZE
        assert hosts.allowed(url.removeprefix("http://").removesuffix("/x")) < 8


def test_a_host_that_takes_none_is_left_alone(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT, answers=[(429, {"Retry-After": "9"})])
    with pytest.raises(errors.RateLimitedError) as caught:
        bench.fetch(url)
    assert caught.value.retry_after == 9.0


def test_a_part_that_breaks_off_is_fetched_by_others(source: Source, bench: Bench) -> None:
    url = source.serve("x", CONTENT, rate=8_000_000, cuts=[262_144, 100_000, 0, 100_000])
    assert bench.fetch(url).sha256 == sha256(CONTENT)
    assert source.sent == SIZE


def test_the_end_of_a_redirect_is_asked_directly(source: Source, far: Source, bench: Bench) -> None:
    far.serve("x", CONTENT, uses=1000)
    url = source.serve("x", b"", leads_to=(far, "x"))
    assert bench.fetch(url).sha256 == sha256(CONTENT)
    assert len(source.requests) == 1
    assert len(far.requests) > 8


def test_an_address_that_expires_is_found_anew(source: Source, far: Source, bench: Bench) -> None:
    far.serve("x", CONTENT, uses=3)
    url = source.serve("x", b"", leads_to=(far, "x"))
    assert bench.fetch(url).sha256 == sha256(CONTENT)
    assert far.sent == SIZE
    assert len(source.requests) >= len(far.requests) // 4


def test_a_located_address_that_expires_is_located_anew(far: Source, bench: Bench) -> None:
    far.serve("x", CONTENT, uses=3)
    origin = At(lambda: Remote(f"{far.base}/x?signature={far.files['x'].sign()}", "x"))
    assert bench.fetch(origin).sha256 == sha256(CONTENT)
    assert far.sent == SIZE
    assert origin.asked > 3


def test_an_address_that_expired_since_the_last_attempt_is_located_anew(far: Source, bench: Bench) -> None:
    bench.options = replace(SMALL_PARTS, connections=1)
    far.serve("x", CONTENT, uses=1000, cuts=[100_000])
    file = far.files["x"]
    addresses = [f"{far.base}/x?signature={file.sign()}" for _ in range(2)]
    with pytest.raises(errors.UnreachableError):
        bench.fetch(at(addresses[0]))
    file.signatures.pop(addresses[0].partition("=")[2])
    given = iter(addresses)
    origin = At(lambda: Remote(next(given), "x"))
    assert bench.fetch(origin).resumed
    assert origin.asked == 2


@pytest.mark.parametrize("uses", [0, 1])
def test_an_address_that_is_of_no_use_is_an_error(far: Source, bench: Bench, uses: int) -> None:
    far.serve("x", CONTENT, uses=1)
    file = far.files["x"]
    signature = file.sign()
    file.signatures[signature] = uses
    origin = At(lambda: Remote(f"{far.base}/x?signature={signature}", "x"))
    with pytest.raises(errors.ForbiddenError):
        bench.fetch(origin)
    assert origin.asked == 1 + uses
    assert len(far.requests) < 12


def test_another_file_at_a_new_address_is_not_mixed_in(far: Source, bench: Bench) -> None:
    far.serve("x", CONTENT, uses=3)
    said = chain(["a" * 64], repeat("b" * 64))
    origin = At(lambda: Remote(f"{far.base}/x?signature={far.files['x'].sign()}", "x", sha256=next(said)))
    with pytest.raises(errors.SourceChangedError):
        bench.fetch(origin)
    assert bench.unfinished() == []


def test_a_server_may_give_less_than_it_was_asked_for(source: Source, bench: Bench) -> None:
    assert bench.fetch(source.serve("x", CONTENT, least_each=100_000)).sha256 == sha256(CONTENT)
    assert source.sent == SIZE


def take(parts: Parts) -> intervals.Interval:
    part = parts.take()
    assert part is not None
    return part


def test_the_last_one_at_work_raises() -> None:
    parts = Parts([(0, 1), (1, 2)])
    one, two = take(parts), take(parts)
    error = errors.UnreachableError("it")
    parts.give_back([one], error, progress=True)  # another is at work
    assert take(parts) == one
    parts.give_back([one], error, progress=True)
    with pytest.raises(errors.UnreachableError):
        parts.give_back([two], error, progress=True)


@pytest.mark.parametrize("how", ["finish", "end", "leave"])
def test_who_got_nothing_waits_for_the_others(how: str) -> None:
    parts = Parts([(0, 1), (1, 2), (2, 3)])
    one, two = take(parts), take(parts)
    waiting = threading.Thread(
        target=parts.give_back, args=([one], errors.RateLimitedError("it")), kwargs={"progress": False}, daemon=True
    )
    waiting.start()
    while len(parts) < 2:  # until it has given its part back
        pass
    waiting.join(0.05)
    assert waiting.is_alive()
    if how == "finish":
        parts.finish()
    elif how == "end":
        parts.end()
    else:
        parts.give_back([two], None, progress=False)
    waiting.join()
    assert parts.take() == (None if how == "end" else one)
