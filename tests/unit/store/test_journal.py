from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.store.transfer.intervals import Intervals
from comfyard.store.transfer.journal import Journal, Partial, Writer, read_journal, resumable
from comfyard.store.transfer.space import Promise

SOURCE = "s" * 64
INTERVALS = st.lists(st.integers(0, 100), unique=True, max_size=8).map(
    lambda offsets: tuple(zip(sorted(offsets)[::2], sorted(offsets)[1::2], strict=False))
)


def journal(durable: Intervals = (), size: int | None = 10, validator: str = '"a"') -> Journal:
    return Journal(source=SOURCE, validator=validator, size=size, durable=durable)


@given(st.binary())
def test_no_content_makes_it_raise(content: bytes) -> None:
    read_journal(content)


@given(INTERVALS, st.none() | st.integers(0, 100))
def test_what_was_written_is_read_unless_it_makes_no_sense(durable: Intervals, size: int | None) -> None:
    written = journal(durable, size)
    read = read_journal(written.model_dump_json().encode())
    within = size is None or not durable or durable[-1][1] <= size
    assert read == (written if within else None)


@pytest.mark.parametrize("durable", ["[[0,5],[3,8]]", "[[5,3]]", "[[-1,3]]", "[[0,3],[3,5]]", "[3]", "5"])
def test_intervals_that_make_no_sense_are_not_believed(durable: str) -> None:
    assert read_journal(journal().model_dump_json().replace("[]", durable).encode()) is None


@given(INTERVALS, st.integers(0, 100), st.sampled_from([SOURCE, "other"]), st.sampled_from(['"a"', ""]))
def test_only_bytes_that_are_there_and_of_the_same_source_are_continued(
    durable: Intervals, on_disk: int, source: str, validator: str
) -> None:
    fits = source == SOURCE and validator != "" and durable != () and durable[-1][1] <= on_disk
    assert resumable(journal(durable, 100, validator), source, on_disk) == fits


def test_parts_come_in_any_order_and_a_longer_past_is_cut_off(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "k")
    with partial.writing(journal(), 1000, Promise(10)) as writer:
        writer.write(b"567", 5)
        writer.write(b"01", 0)
    with partial.data.open("ab") as file:
        file.write(b"garbage that a crash left")
    loaded = partial.load(SOURCE)
    assert loaded == journal(((0, 2), (5, 8)))
    assert not loaded.is_whole
    with partial.writing(loaded, 1000, Promise(10)) as writer:
        writer.write(b"89", 8)
        writer.write(b"234", 2)
        assert writer.received == 5
        assert writer.finish() == 10
    assert partial.data.read_bytes() == b"0123456789"
    assert partial.load("another") is None
    whole = partial.load(SOURCE)
    assert whole is not None
    assert whole.is_whole


def test_a_size_that_turns_out_at_the_end_is_kept(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "k")
    with partial.writing(journal(size=None), 1000, Promise(0)) as writer:
        writer.write(b"0123", 0)
        writer.finish()
    assert partial.load(SOURCE) == journal(((0, 4),), 4)


def test_room_that_was_taken_is_not_promised_any_more(tmp_path: Path) -> None:
    partial, promise = Partial(tmp_path, "k"), Promise(1_000_000)
    with partial.writing(journal(size=1_000_000), 1000, promise) as writer:
        writer.take_room()
        taken = partial.allocated() >= 1_000_000
        assert promise.open == (0 if taken else 1_000_000)
        assert partial.data.stat().st_size == 0
        writer.write(b"01", 0)
        assert promise.open == (0 if taken else 999_998)


def interrupt(partial: Partial, content: bytes) -> None:
    def write(writer: Writer) -> None:
        if content:
            writer.write(content, 0)
        raise KeyError

    with pytest.raises(KeyError), partial.writing(journal(), 1000, Promise(10)) as writer:
        write(writer)


def test_an_error_keeps_what_there_is(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "k")
    interrupt(partial, b"012")
    assert partial.load(SOURCE) == journal(((0, 3),))


def test_nothing_leaves_nothing(tmp_path: Path) -> None:
    interrupt(Partial(tmp_path, "k"), b"")
    assert list(tmp_path.iterdir()) == []


def test_every_write_is_durable_when_asked_to(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "k")
    with partial.writing(journal(), 0, Promise(10)) as writer:
        for count in range(1, 4):
            writer.write(b"x", count - 1)
            assert read_journal(partial.journal.read_bytes()) == journal(((0, count),))


def test_a_journal_without_its_data_is_worth_nothing(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "k")
    partial.journal.write_text(journal(((0, 2), (3, 5))).model_dump_json())
    assert partial.load(SOURCE) is None
    assert partial.allocated() == 0
    partial.data.write_bytes(b"1234")
    assert partial.load(SOURCE) is None
    partial.data.write_bytes(b"12345")
    assert partial.load(SOURCE) is not None
    partial.discard()
    assert list(tmp_path.iterdir()) == []
