from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.controller.fair_share import HALF_LIFE_SECONDS, Usage
from tests.builders import NOW

HALF_LIFE = timedelta(seconds=HALF_LIFE_SECONDS)


def test_what_was_used_counts_half_after_each_half_life() -> None:
    usage = Usage()
    usage.add("studio", 100, NOW)
    assert usage.of("studio", NOW) == 100
    assert usage.of("studio", NOW + 2 * HALF_LIFE) == pytest.approx(25)


def test_who_used_nothing_lately_is_not_in_a_snapshot() -> None:
    usage = Usage()
    usage.add("studio", 100, NOW - 20 * HALF_LIFE)
    usage.add("atelier", 8, NOW - HALF_LIFE)
    assert usage.snapshot(NOW) == {"atelier": pytest.approx(4)}
    assert usage.of("nobody", NOW) == 0


@given(st.lists(st.tuples(st.floats(0, 1000), st.integers(0, 10_000)), min_size=1, max_size=10))
def test_the_order_in_which_it_is_told_does_not_matter(used: list[tuple[float, int]]) -> None:
    one, other = Usage(), Usage()
    for seconds, ago in used:
        one.add("studio", seconds, NOW - timedelta(seconds=ago))
    for seconds, ago in sorted(used):
        other.add("studio", seconds, NOW - timedelta(seconds=ago))
    expected = sum(seconds * 0.5 ** (ago / HALF_LIFE_SECONDS) for seconds, ago in used)
    assert one.of("studio", NOW) == pytest.approx(expected)
    assert other.of("studio", NOW) == pytest.approx(expected)
