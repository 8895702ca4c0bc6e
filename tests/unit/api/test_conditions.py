from datetime import timedelta

import pytest

from comfyard.api.conditions import READY, RECONCILING, STALLED, ConditionSet, find, is_true
from tests.builders import NOW, job


@pytest.mark.parametrize("verdict", ["ready", "reconciling", "stalled", "paused"])
def test_reconciling_and_stalled_are_never_both_true(verdict: str) -> None:
    conditions = ConditionSet([], 1, NOW)
    getattr(conditions, verdict)("Reason", "message")
    status = {c["type"]: c["status"] for c in conditions.to_api()}
    assert set(status) == {READY, RECONCILING, STALLED}
    assert list(status.values()).count("True") == (0 if verdict == "paused" else 1)


def test_the_transition_time_moves_with_the_status_only() -> None:
    first = ConditionSet([], 1, NOW)
    first.reconciling("A", "a")
    before = job(status={"conditions": first.to_api()}).status.conditions
    later = ConditionSet(before, 2, NOW + timedelta(minutes=1))
    later.reconciling("B", "b")
    after = job(status={"conditions": later.to_api()}).status.conditions
    old, new = find(before, RECONCILING), find(after, RECONCILING)
    assert old
    assert new
    assert new.last_transition_time == old.last_transition_time
    assert (new.reason, new.observed_generation) == ("B", 2)
    assert is_true(after, RECONCILING)
