from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from comfyard.controller.pools import Pool, Server, shape_of
from comfyard.controller.scheduler import Demand, schedule
from tests.builders import NOW, profile

PROFILES = {"l4": profile(max_servers=2, idle_seconds=60)}


def pool(claim: str = "models", namespace: str = "studio") -> Pool:
    return Pool(namespace, "l4", (claim,), "results", shape_of(PROFILES["l4"]))


def demand(name: str, priority: int = 0, created: str = "1", where: Pool | None = None) -> Demand:
    where = where or pool()
    return Demand((where.namespace, name), where, priority, created)


def server(
    name: str, *, ready: bool = True, busy: bool = False, idle: int = 0, over: bool = False, where: Pool | None = None
) -> Server:
    where = where or pool()
    return Server(
        namespace=where.namespace,
        name=name,
        pool=where.name,
        profile="l4",
        ready=ready,
        leaving=over,
        over=over,
        unready_since=None if ready else NOW - timedelta(seconds=idle),
        job=(where.namespace, "other") if busy else None,
        idle_since=NOW - timedelta(seconds=idle) if ready and not busy else None,
    )


def test_an_idle_server_gets_the_job() -> None:
    result = schedule([demand("a")], [server("s")], PROFILES, NOW)
    assert result.assign[("studio", "a")].name == "s"
    assert not result.grow


def test_a_job_gets_the_server_that_it_prefers_if_that_is_free() -> None:
    wanted = replace(demand("a"), prefers="t")
    assert schedule([wanted], [server("s"), server("t")], PROFILES, NOW).assign["studio", "a"].name == "t"
    assert schedule([wanted], [server("s"), server("t", busy=True)], PROFILES, NOW).assign["studio", "a"].name == "s"
    other = server("t", where=pool("others"))
    assert schedule([wanted], [server("s"), other], PROFILES, NOW).assign["studio", "a"].name == "s"


def test_priority_goes_before_age() -> None:
    result = schedule([demand("old", created="1"), demand("urgent", 5, "2")], [server("s")], PROFILES, NOW)
    assert set(result.assign) == {("studio", "urgent")}


def test_age_goes_before_name() -> None:
    result = schedule([demand("a", created="2"), demand("b", created="1")], [server("s")], PROFILES, NOW)
    assert set(result.assign) == {("studio", "b")}


def test_no_server_makes_the_pool_grow() -> None:
    result = schedule([demand("a")], [], PROFILES, NOW)
    assert result.grow == [pool()]
    assert "starting" in result.waiting["studio", "a"]


def test_servers_on_the_way_are_not_ordered_twice() -> None:
    result = schedule([demand("a"), demand("b")], [server("s", ready=False)], PROFILES, NOW)
    assert len(result.grow) == 1


def test_the_limit_holds_and_the_job_says_so() -> None:
    result = schedule([demand("a")], [server("s", busy=True), server("t", busy=True)], PROFILES, NOW)
    assert not result.grow
    assert "all 2 servers of profile l4 are busy" in result.waiting["studio", "a"]


def test_a_server_of_another_pool_is_not_taken() -> None:
    result = schedule([demand("a")], [server("s", where=pool("others"))], PROFILES, NOW)
    assert not result.assign


def test_an_idle_server_of_another_pool_makes_room_at_the_limit() -> None:
    servers = [server("s", where=pool("others")), server("t", busy=True)]
    result = schedule([demand("a")], servers, PROFILES, NOW)
    assert [s.name for s in result.retire] == ["s"]
    assert result.grow == [pool()]


def test_idle_servers_go_after_their_time_and_no_earlier() -> None:
    result = schedule([], [server("old", idle=61), server("young", idle=20)], PROFILES, NOW)
    assert [s.name for s in result.retire] == ["old"]
    assert result.wake_after == 40


def test_a_server_that_does_not_become_ready_is_replaced_after_its_time() -> None:
    servers = [server("wedged", ready=False, idle=601), server("starting", ready=False, idle=590)]
    result = schedule([], servers, PROFILES, NOW)
    assert [s.name for s in result.retire] == ["wedged"]
    assert result.wake_after == 10


def test_what_is_left_of_an_evicted_server_is_removed_and_takes_no_place() -> None:
    result = schedule([demand("a")], [server("evicted", ready=False, over=True), server("t", busy=True)], PROFILES, NOW)
    assert [s.name for s in result.retire] == ["evicted"]
    assert result.grow == [pool()]


SERVERS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(0, 120), st.sampled_from(["models", "others"])), max_size=6
)
DEMANDS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["models", "others"])), max_size=6)


@given(SERVERS, DEMANDS)
def test_no_busy_server_is_taken_or_retired_and_the_limit_holds(
    states: list[tuple[bool, bool, int, str]], wanted: list[tuple[int, str]]
) -> None:
    servers = [server(f"s{i}", ready=r, busy=b, idle=t, where=pool(c)) for i, (r, b, t, c) in enumerate(states)]
    demands = [demand(f"j{i}", p, where=pool(c)) for i, (p, c) in enumerate(wanted)]
    result = schedule(demands, servers, PROFILES, NOW)
    taken = [s.name for s in result.assign.values()]
    assert len(taken) == len(set(taken))
    assert all(s.is_idle for s in result.assign.values())
    assert not [s for s in result.retire if s.job]
    assert not {s.name for s in result.retire} & set(taken)
    assert set(result.assign) | set(result.waiting) == {d.job for d in demands}
    if result.grow:
        assert len(servers) + len(result.grow) - len(result.retire) <= 2
