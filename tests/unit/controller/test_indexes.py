import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.generation_sweep import MAX_JOBS, GenerationSweepStatus
from comfyard.controller.indexes import compress, expand


@pytest.mark.parametrize(
    ("indexes", "text"),
    [
        ([], ""),
        ([7], "7"),
        ([0, 1], "0,1"),
        ([1, 3, 4, 5, 7], "1,3-5,7"),
        ([9, 0, 2, 1, 9], "0-2,9"),
        (range(1000), "0-999"),
    ],
)
def test_they_are_written_as_an_indexed_job_writes_them(indexes: list[int], text: str) -> None:
    assert compress(indexes) == text


@given(st.frozensets(st.integers(0, 9999)))
def test_what_was_written_is_read(indexes: frozenset[int]) -> None:
    assert expand(compress(indexes)) == indexes


@given(st.frozensets(st.integers(0, 300)))
def test_there_is_one_way_to_write_them(indexes: frozenset[int]) -> None:
    text = compress(indexes)
    assert compress(expand(text)) == text
    numbers = [int(number) for number in text.replace("-", ",").split(",") if number]
    assert numbers == sorted(set(numbers))


def test_the_longest_fits_into_the_status() -> None:
    text = compress(index for index in range(MAX_JOBS) if index % 3)
    assert len(text) > 32_000
    assert GenerationSweepStatus(completed_indexes=text).completed_indexes == text
