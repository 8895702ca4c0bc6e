from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.store.journal import Journal, Partial, read_journal, resumable

SOURCE = "s" * 64


def journal(durable: int = 0, size: int | None = 10, validator: str = '"a"') -> Journal:
    return Journal(source=SOURCE, validator=validator, size=size, durable=durable)


@given(st.binary())
def test_no_content_makes_it_raise(content: bytes) -> None:
    read_journal(content)


@given(st.integers(0, 100), st.none() | st.integers(0, 100))
def test_what_was_written_is_read_unless_it_makes_no_sense(durable: int, size: int | None) -> None:
    written = journal(durable, size)
    read = read_journal(written.model_dump_json().encode())
    assert read == (written if size is None or durable <= size else None)


@given(st.integers(0, 20), st.integers(0, 20), st.sampled_from([SOURCE, "other"]), st.sampled_from(['"a"', ""]))
def test_only_bytes_that_are_there_and_of_the_same_source_are_continued(
    durable: int, on_disk: int, source: str, validator: str
) -> None:
    one = journal(durable, 20, validator)
    fits = source == SOURCE and validator != "" and 0 < durable <= on_disk
    assert resumable(one, source, on_disk) == fits


def test_what_was_not_made_durable_is_cut_off(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "k")
    with partial.writing(journal(), 1000) as writer:
        writer.append(b"01234")
    with partial.data.open("ab") as file:
        file.write(b"garbage that a crash left")
    loaded = partial.load(SOURCE)
    assert loaded is not None
    assert loaded.durable == 5
    with partial.writing(loaded, 1000) as writer:
        writer.append(b"56789")
    assert partial.data.read_bytes() == b"0123456789"
    assert partial.load("another") is None


def test_an_error_keeps_what_there_is(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "k")

    def break_off() -> None:
        with partial.writing(journal(), 1000) as writer:
            writer.append(b"012")
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    loaded = partial.load(SOURCE)
    assert loaded is not None
    assert loaded.durable == 3


def test_every_append_is_durable_when_asked_to(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "k")
    with partial.writing(journal(), 0) as writer:
        for count in range(1, 4):
            writer.append(b"x")
            found = read_journal(partial.journal.read_bytes())
            assert found is not None
            assert found.durable == count


def test_a_journal_without_its_data_is_worth_nothing(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "k")
    partial.journal.write_text(journal(5).model_dump_json())
    assert partial.load(SOURCE) is None
    partial.data.write_bytes(b"1234")
    assert partial.load(SOURCE) is None
    partial.data.write_bytes(b"12345")
    assert partial.load(SOURCE) is not None
    partial.discard()
    assert list(tmp_path.iterdir()) == []
