"""What a waiting job is told, and how often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.controller.pools import Pool
from comfyard.controller.queue import Demand
from comfyard.controller.waiting_words import Told, is_worth_telling, told, words

DEMAND = Demand(("studio", "a"), Pool("studio", "l4", ("models",), "results"), 0, "2026-01-02T03:04:00Z")
BUSY = "all 4 servers of profile l4 are busy (pool.maxServers)"


def test_the_words() -> None:
    assert words(DEMAND, 12, 300, BUSY) == f"place 12 of 300 in namespace studio for profile l4: {BUSY}"


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.text())
def test_what_was_told_is_read_again(place: int, among: int, why: str) -> None:
    status = {"state": "Queued", "message": words(DEMAND, place, among, why)}
    assert told(status) == Told(place, why)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"state": "Queued", "message": "tries again at 2026-01-02T03:04:00Z"},
        {"state": "Assigned", "message": words(DEMAND, 1, 1, BUSY)},
    ],
)
def test_other_words_tell_nothing_of_a_place(status: dict[str, str]) -> None:
    assert told(status) is None


@pytest.mark.parametrize(
    ("before", "place", "worth"),
    [
        (None, 5000, True),
        (Told(5000, BUSY), 4000, False),
        (Told(5000, BUSY), 101, False),
        (Told(5000, BUSY), 100, True),
        (Told(100, BUSY), 11, False),
        (Told(100, BUSY), 10, True),
        (Told(10, BUSY), 1, False),
        (Told(10, BUSY), 5000, False),  # others of a higher priority came
        (Told(10, "another reason"), 10, True),
    ],
)
def test_a_place_is_told_at_first_and_when_it_has_come_near(before: Told | None, place: int, worth: bool) -> None:  # noqa: FBT001 - pytest gives it
    assert is_worth_telling(before, place, BUSY) is worth


@given(st.lists(st.integers(1, 20_000), min_size=1).map(lambda places: sorted(places, reverse=True)))
def test_a_job_on_its_way_to_the_front_is_told_three_times_at_most(places: list[int]) -> None:
    writes, before = 0, None
    for place in places:
        if is_worth_telling(before, place, BUSY):
            writes, before = writes + 1, Told(place, BUSY)
    assert writes <= 3
