"""Results by the identity of what they were made from."""

import pytest

from comfyard.workflow.memo import Memo


class Maker:
    """Counts what it makes."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> int:
        self.made += 1
        return self.made


def test_a_result_is_made_once_for_the_same_objects_and_values() -> None:
    memo, make, part, other = Memo[int](8), Maker(), [1], [1]
    assert [memo.get([part], make), memo.get([part], make)] == [1, 1]
    assert memo.get([other], make) == 2  # equal, and not the same
    assert [memo.get([part], make, "x"), memo.get([part], make, "x"), memo.get([part], make)] == [3, 3, 1]


def test_what_is_used_stays_and_the_rest_goes() -> None:
    memo, make, parts = Memo[int](2), Maker(), [[0], [1], [2]]
    memo.get([parts[0]], make)
    memo.get([parts[1]], make)
    memo.get([parts[0]], make)
    memo.get([parts[2]], make)
    assert memo.get([parts[0]], make) == 1
    assert memo.get([parts[1]], make) == 4


def test_another_object_never_takes_the_place_of_one_that_is_gone() -> None:
    memo = Memo[str](64)
    for i in range(1000):  # each dies here, and its address would be used again if the memo did not hold it
        part = [str(i)]
        assert memo.get([part], lambda part=part: part[0]) == str(i)  # type: ignore[misc] # a default holds it


def test_a_failure_is_not_remembered() -> None:
    memo, part = Memo[int](8), [1]

    def fail() -> int:
        raise ValueError("not there yet")

    with pytest.raises(ValueError, match="not there yet"):
        memo.get([part], fail)
    assert memo.get([part], lambda: 7) == 7
