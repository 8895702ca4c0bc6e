"""Which job of a pool goes to which of its servers."""

from datetime import timedelta

import pytest

from comfyard.controller.affinity import PASS_SECONDS, SWITCH_SECONDS
from comfyard.controller.pools import Server
from comfyard.controller.scheduler import schedule
from tests.builders import NOW
from tests.unit.controller.fleets import assigned, decide, demand, demands, hardware, key, pool, server, snapshot

STUDIO = pool()
ONE = {"l4": hardware(maxServers=1)}


def test_an_idle_server_gets_the_job() -> None:
    result = decide([demand("a")], [server("s")])
    assert assigned(result) == {"a": "s"}
    assert not result.grow
    assert not result.blocked


def test_a_server_of_another_pool_is_not_taken() -> None:
    others = [server("s", pool(claim="others")), server("t", pool("atelier"))]
    assert not decide([demand("a")], others).assign


@pytest.mark.parametrize("taken", [server("s", ready=False), server("s", leaving=True)], ids=["not ready", "leaving"])
def test_a_server_that_leaves_or_is_not_ready_gets_nothing(taken: Server) -> None:
    assert not decide([demand("a")], [taken]).assign


def test_priority_goes_before_age_and_models() -> None:
    waiting = [demand("old", waited=90, models="m"), demand("urgent", waited=1, priority=5, models="n")]
    result = decide(waiting, [server("s", models="m")], profiles={"l4": hardware(maxServers=1, queueDepth=1)})
    assert assigned(result) == {"urgent": "s"}


def test_no_second_place_for_a_job_while_one_of_higher_priority_waits() -> None:
    waiting = [demand("low", models="m"), demand("urgent", priority=5, models="n")]
    assert not decide(waiting, [server("s", jobs=1, models="m")], profiles=ONE).assign


def test_age_goes_before_name() -> None:
    assert assigned(decide([demand("a", waited=1), demand("b", waited=2)], [server("s")], profiles=ONE))["b"] == "s"


def test_a_job_gets_the_server_that_it_prefers_if_that_has_a_place() -> None:
    wanted = demand("a", prefers="t", models="m")
    servers = [server("s", models="m"), server("t")]
    assert assigned(decide([wanted], servers)) == {"a": "t"}
    assert assigned(decide([wanted], [servers[0], server("t", jobs=2)])) == {"a": "s"}
    assert assigned(decide([wanted], [servers[0], server("t", pool("atelier"))])) == {"a": "s"}


def test_a_job_goes_where_its_models_are() -> None:
    servers = [server("s", idle=1, models="n"), server("t", idle=50, models="m x"), server("u", idle=1)]
    assert assigned(decide([demand("a", models="m")], servers)) == {"a": "t"}


def test_where_nothing_fits_it_goes_to_the_server_that_loads_least_and_worked_last() -> None:
    servers = [server("s", idle=1, models="x"), server("t", idle=50, models="m"), server("u", idle=40, models="m")]
    assert assigned(decide([demand("a", models="m n")], servers, profiles={"l4": hardware(maxServers=3)})) == {"a": "u"}


def test_a_job_passes_older_ones_to_stay_on_a_warm_server() -> None:
    waiting = [demand("old", waited=60, models="n"), demand("warm", waited=1, models="m")]
    assert assigned(decide(waiting, [server("s", models="m")], profiles=ONE)) == {"warm": "s"}


@pytest.mark.parametrize("warm", [PASS_SECONDS + 1, None])
def test_but_not_for_longer_than_the_bound(warm: float | None) -> None:
    waiting = [demand("old", waited=60, models="n"), demand("warm", waited=1, models="m")]
    result = decide(waiting, [server("s", models="m", warm=warm)], profiles=ONE)
    assert assigned(result) == {"old": "s"}
    assert not decide(waiting, [server("s", jobs=1, models="m", warm=warm)], profiles=ONE).assign


def test_the_bound_is_none_when_nobody_is_passed() -> None:
    waiting = [demand("old", waited=60, models="m"), demand("young", waited=1, models="n")]
    result = decide(waiting, [server("s", models="m", warm=9999)], profiles=ONE)
    assert assigned(result) == {"old": "s"}


def test_the_oldest_goes_to_an_idle_server_that_nobody_else_can_use_better() -> None:
    waiting = [demand("old", waited=60, models="n"), demand("warm", waited=50, models="m")]
    servers = [server("s", models="m", warm=9999), server("t", idle=50)]
    assert assigned(decide(waiting, servers)) == {"old": "t", "warm": "s"}


def test_a_job_is_left_to_a_warm_server_that_is_free_soon() -> None:
    servers = [server("s", jobs=1, models="m"), server("t")]
    known = {key(STUDIO): SWITCH_SECONDS}
    assert assigned(decide([demand("a", models="m")], servers, seconds=known)) == {"a": "s"}


@pytest.mark.parametrize(
    ("busy", "seconds"),
    [
        (server("s", jobs=1, models="m"), None),
        (server("s", jobs=1, models="m"), SWITCH_SECONDS + 1),
        (server("s", jobs=1, models="m", warm=5), 10),
        (server("s", jobs=2, models="m"), 1),
    ],
    ids=["nobody knows when", "not soon", "it still loads them", "it has no place"],
)
def test_an_idle_server_waits_for_no_other_that_is_not_free_soon(busy: Server, seconds: float | None) -> None:
    known = {} if seconds is None else {key(STUDIO): seconds}
    assert assigned(decide([demand("a", models="m")], [busy, server("t")], seconds=known)) == {"a": "t"}


def test_idle_servers_come_before_second_places() -> None:
    servers = [server("s", jobs=1, models="m"), server("t", models="m")]
    result = decide(demands(3, models="m"), servers)
    assert next(iter(assigned(result).values())) == "t"
    assert sorted(assigned(result).values()) == ["s", "t", "t"]


def test_a_server_has_as_many_jobs_as_its_queue_is_deep() -> None:
    profiles = {"l4": hardware(maxServers=2, queueDepth=3)}
    result = decide(demands(9), [server("s"), server("t", jobs=1)], profiles=profiles)
    assert sorted(assigned(result).values()) == ["s", "s", "s", "t", "t"]
    assert [name for _, name in result.assign] == [f"job-{n:05}" for n in range(5)]


def test_a_second_place_is_not_given_to_a_job_that_needs_other_models() -> None:
    assert not decide([demand("a", models="n")], [server("s", jobs=1, models="m")], profiles=ONE).assign


def test_the_second_job_counts_with_the_models_of_the_first() -> None:
    waiting = [demand("a", waited=9, models="m"), demand("b", waited=8, models="n"), demand("c", waited=7, models="m")]
    assert assigned(decide(waiting, [server("s")], profiles=ONE)) == {"a": "s", "c": "s"}


def test_jobs_without_models_change_nothing_in_memory() -> None:
    waiting = [demand("plain", waited=9), demand("warm", waited=8, models="m")]
    assert assigned(decide(waiting, [server("s", models="m")], profiles=ONE)) == {"plain": "s", "warm": "s"}


def test_of_equal_servers_the_one_that_worked_last_gets_the_job_so_that_the_others_can_go() -> None:
    servers = [server("s", idle=50), server("t", idle=5), server("u", idle=20)]
    assert assigned(decide([demand("a")], servers, profiles={"l4": hardware(maxServers=3)})) == {"a": "t"}


def test_the_snapshot_is_left_as_it_was() -> None:
    seen = snapshot(demands(5, models="m"), [server("s", models="m"), server("t", pool("atelier"))])
    before = ([list(each) for each in seen.queue.groups().values()], list(seen.servers))
    schedule(seen, NOW + timedelta(seconds=1))
    assert before == ([list(each) for each in seen.queue.groups().values()], list(seen.servers))


def test_after_a_switch_the_bound_begins_anew() -> None:
    waiting = [
        demand("old", waited=60, models="n"),
        demand("between", waited=50, models="m"),
        demand("young", waited=40, models="n"),
    ]
    assert assigned(decide(waiting, [server("s", models="m", warm=9999)], profiles=ONE)) == {"old": "s", "young": "s"}
