import dataclasses
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.controller.pools import Pool
from comfyard.controller.queue import Demand, JobKey, Queue
from tests.unit.controller.fleets import demand, pool

OWN, SHARED, OTHER = pool(), pool(claim="shared"), pool("atelier")


def queue(*waiting: Demand) -> Queue:
    result = Queue()
    for each in waiting:
        result.put(each)
    return result


def test_jobs_of_one_pool_and_the_same_models_are_a_group() -> None:
    waiting = queue(demand("a", models="m n"), demand("b", models="n m"), demand("c", models="n"), demand("d", SHARED))
    sizes = {(group.pool, group.models): len(demands) for group, demands in waiting.groups().items()}
    assert sizes == {(OWN, frozenset({"m", "n"})): 2, (OWN, frozenset({"n"})): 1, (SHARED, frozenset()): 1}


def test_a_group_is_sorted_by_priority_then_age_then_name() -> None:
    waiting = queue(demand("b", waited=5), demand("a", waited=5), demand("old", waited=9), demand("up", priority=1))
    (group,) = waiting.groups().values()
    assert [each.job[1] for each in group] == ["up", "old", "a", "b"]
    assert group[0].job[1] == "up"
    assert group.priorities == {1: 1, 0: 3}


def test_what_a_job_asks_for_now_replaces_what_it_asked_for_before() -> None:
    waiting = queue(demand("a"), dataclasses.replace(demand("a"), priority=3), demand("a", SHARED))
    assert len(waiting) == 1
    assert list(waiting.groups()) == [next(iter(queue(demand("a", SHARED)).groups()))]


def test_the_last_job_takes_its_group_with_it() -> None:
    waiting = queue(demand("a"))
    waiting.discard(("studio", "a"))
    waiting.discard(("studio", "a"))
    assert not waiting.groups()
    assert waiting.waiting_for("studio", "l4") == 0
    with pytest.raises(KeyError):
        waiting.place(("studio", "a"))


def test_the_place_counts_the_jobs_of_the_namespace_and_profile() -> None:
    waiting = queue(
        demand("first", SHARED, waited=9),
        demand("own", waited=5),
        demand("later", models="m", waited=1),
        demand("theirs", OTHER, waited=99),
        demand("elsewhere", pool(profile_name="a100"), waited=99),
    )
    assert waiting.place(("studio", "own")) == 2
    assert waiting.waiting_for("studio", "l4") == 3
    assert waiting.waiting_by_profile() == {"l4": 4, "a100": 1}


CHANGES = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from([OWN, SHARED, OTHER, None]),
        st.integers(-1, 1),
        st.integers(0, 5),
        st.sampled_from(["", "m", "m n"]),
    ),
    max_size=60,
)


@given(CHANGES)
def test_it_holds_what_was_put_and_not_discarded(changes: list[tuple[int, Pool | None, int, int, str]]) -> None:
    waiting = Queue()
    model: dict[JobKey, Demand] = {}
    for number, where, priority, waited, models in changes:
        name = f"j{number}"
        for namespace in ("studio", "atelier"):
            model.pop((namespace, name), None)
            waiting.discard((namespace, name))
        if where:
            each = demand(name, where, waited, models, priority=priority)
            waiting.put(each)
            model[each.job] = each
    groups: defaultdict[object, list[Demand]] = defaultdict(list)
    for each in sorted(model.values(), key=lambda d: d.order):
        groups[each.pool, each.models].append(each)
    assert {(g.pool, g.models): list(demands) for g, demands in waiting.groups().items()} == dict(groups)
    assert len(waiting) == len(model)
    for each in model.values():
        line = [d for d in model.values() if (d.job[0], d.pool.profile) == (each.job[0], each.pool.profile)]
        assert waiting.get(each.job) == each
        assert waiting.place(each.job) == 1 + sum(d.order < each.order for d in line)
