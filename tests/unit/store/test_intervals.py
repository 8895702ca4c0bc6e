"""Intervals against sets of bytes."""

from hypothesis import given
from hypothesis import strategies as st

from comfyard.store.transfer.intervals import Intervals, are_sound, cut_at, front, gaps, pieces, total, with_added

SIZE = 40
OFFSETS = st.integers(0, SIZE)
PAIRS = st.tuples(OFFSETS, OFFSETS).map(lambda pair: (min(pair), max(pair)))


def bytes_of(intervals: Intervals) -> set[int]:
    return {byte for first, end in intervals for byte in range(first, end)}


def built(pairs: list[tuple[int, int]]) -> Intervals:
    intervals: Intervals = ()
    for first, end in pairs:
        intervals = with_added(intervals, first, end)
    return intervals


@given(st.lists(PAIRS))
def test_what_was_added_is_there(pairs: list[tuple[int, int]]) -> None:
    intervals = built(pairs)
    assert bytes_of(intervals) == bytes_of(tuple(pairs))
    assert are_sound(intervals, SIZE)
    assert total(intervals) == len(bytes_of(intervals))


@given(st.lists(PAIRS), PAIRS)
def test_gaps_are_what_is_missing(pairs: list[tuple[int, int]], within: tuple[int, int]) -> None:
    intervals = built(pairs)
    found = gaps(intervals, *within)
    assert bytes_of(found) == set(range(*within)) - bytes_of(intervals)
    assert are_sound(found, SIZE)


@given(st.lists(PAIRS), OFFSETS)
def test_cutting(pairs: list[tuple[int, int]], end: int) -> None:
    assert bytes_of(cut_at(built(pairs), end)) == {byte for byte in bytes_of(tuple(pairs)) if byte < end}


@given(st.lists(PAIRS), st.integers(1, 9))
def test_pieces_are_the_same_bytes(pairs: list[tuple[int, int]], most: int) -> None:
    intervals = built(pairs)
    found = tuple(pieces(intervals, most))
    assert [byte for first, end in found for byte in range(first, end)] == sorted(bytes_of(intervals))
    assert all(0 < end - first <= most for first, end in found)


@given(st.lists(PAIRS))
def test_the_front_ends_at_the_first_gap(pairs: list[tuple[int, int]]) -> None:
    there = bytes_of(tuple(pairs))
    assert front(built(pairs)) == next(byte for byte in range(SIZE + 1) if byte not in there)


def test_what_makes_no_sense_is_not_sound() -> None:
    for intervals in ([(1, 1)], [(2, 1)], [(-1, 1)], [(0, 2), (1, 3)], [(0, 2), (2, 3)], [(5, 6), (1, 2)], [(0, 41)]):
        assert not are_sound(tuple(intervals), SIZE)
    assert are_sound(((0, 41),), None)
