"""Whose the servers are, when all pools together want more than there may be."""

from collections import Counter
from datetime import timedelta

import pytest

from comfyard.controller.grants import TURN_SECONDS
from comfyard.controller.handover import MOMENT_SECONDS
from comfyard.controller.pools import Pool, Server
from comfyard.controller.snapshot import Limits, Schedule
from tests.builders import NOW
from tests.unit.controller.fleets import (
    assigned,
    decide,
    demand,
    demands,
    hardware,
    key,
    pool,
    retired,
    server,
    starting,
)

STUDIO, ATELIER, BUREAU = pool("studio"), pool("atelier"), pool("bureau")
FOUR = {"l4": hardware(maxServers=4)}
ONE = {"l4": hardware(maxServers=1)}


def busy(prefix: str, count: int, where: Pool, jobs: int = 1) -> list[Server]:
    return [server(f"{prefix}{number}", where, jobs=jobs) for number in range(count)]


def grown(result: Schedule) -> dict[str, int]:
    return dict(Counter(each.namespace for each in result.grow))


def test_namespaces_share_alike_whatever_they_order() -> None:
    result = decide([*demands(5000, STUDIO), *demands(20, ATELIER)], profiles=FOUR)
    assert grown(result) == {"studio": 2, "atelier": 2}


def test_what_one_does_not_want_is_for_the_others() -> None:
    waiting = [*demands(9, STUDIO), *demands(1, ATELIER), *demands(9, BUREAU)]
    result = decide(waiting, profiles={"l4": hardware(maxServers=7)})
    assert grown(result) == {"studio": 3, "atelier": 1, "bureau": 3}


def test_a_namespace_with_two_pools_gets_no_more_than_one_with_one() -> None:
    waiting = [*demands(9, STUDIO), *demands(9, pool("studio", "shared"), prefix="more"), *demands(9, ATELIER)]
    result = decide(waiting, profiles=FOUR)
    assert grown(result) == {"studio": 2, "atelier": 2}
    assert len(set(result.grow)) == 3


def test_higher_priority_goes_first() -> None:
    waiting = [*demands(9, STUDIO), *demands(3, ATELIER, priority=1, waited=6)]
    assert grown(decide(waiting, profiles=FOUR)) == {"atelier": 3, "studio": 1}


def test_who_used_less_lately_gets_the_odd_one() -> None:
    waiting = [*demands(9, STUDIO), *demands(9, ATELIER)]
    assert grown(decide(waiting, profiles=ONE, usage={"studio": 1.0})) == {"atelier": 1}
    assert grown(decide(waiting, profiles=ONE, usage={"atelier": 1.0})) == {"studio": 1}


def test_within_a_namespace_age_decides() -> None:
    waiting = [demand("young", STUDIO, waited=10), demand("old", pool("studio", "shared"), waited=20)]
    assert decide(waiting, profiles=ONE).grow == [pool("studio", "shared")]


def test_no_more_than_a_namespaces_limit_and_the_rest_is_for_others() -> None:
    waiting = [*demands(9, STUDIO), *demands(9, ATELIER)]
    assert grown(decide(waiting, profiles=FOUR, limits={"studio": Limits(servers=1)})) == {"studio": 1, "atelier": 3}
    assert grown(decide(waiting, profiles=FOUR, limits={"studio": Limits(jobs=1)})) == {"studio": 1, "atelier": 3}


def test_busy_servers_of_who_has_too_many_get_no_further_job() -> None:
    servers = busy("s", 4, STUDIO)
    result = decide([*demands(9, STUDIO), *demands(9, ATELIER)], servers, profiles=FOUR)
    assert not result.grow
    assert not result.retire
    assert len(assigned(result)) == 2, "two of four go on"
    assert result.blocked[key(ATELIER)] == "all 4 servers of profile l4 are busy (pool.maxServers)"


def test_exactly_as_many_as_are_needed() -> None:
    servers = busy("s", 4, STUDIO)
    result = decide([*demands(9, STUDIO), *demands(1, ATELIER)], servers, profiles=FOUR)
    assert len(assigned(result)) == 3


def test_an_idle_one_goes_at_once() -> None:
    servers = [*busy("s", 3, STUDIO), server("idle", STUDIO)]
    result = decide([*demands(9, STUDIO), *demands(9, ATELIER)], servers, profiles=FOUR)
    assert retired(result) == {"idle": "Yielded"}
    assert result.grow == [ATELIER]


def test_what_nobody_needs_goes_first() -> None:
    servers = [*busy("s", 2, STUDIO), server("idle", BUREAU), *busy("a", 1, ATELIER)]
    result = decide([*demands(9, STUDIO), *demands(9, ATELIER)], servers, profiles=FOUR)
    assert retired(result) == {"idle": "Yielded"}
    assert result.grow == [ATELIER]


def test_a_moment_is_waited_before_a_server_is_taken_for_a_job() -> None:
    young = MOMENT_SECONDS - 1
    result = decide([demand("a", ATELIER, waited=young)], [server("s")], profiles=ONE)
    assert not result.retire
    assert result.wake_after == 1


def test_a_moment_is_waited_before_a_server_is_taken_that_may_get_its_next_job_now() -> None:
    result = decide([demand("a", ATELIER)], [server("s", idle=MOMENT_SECONDS - 2)], profiles=ONE)
    assert not result.retire
    assert result.wake_after == 2


@pytest.mark.parametrize(("ahead", "keeps"), [(TURN_SECONDS - 1, True), (TURN_SECONDS + 1, False)])
def test_the_last_server_changes_hands_by_turns(ahead: float, *, keeps: bool) -> None:
    waiting = [*demands(9, STUDIO), *demands(9, ATELIER)]
    result = decide(waiting, busy("s", 1, STUDIO), profiles=ONE, usage={"studio": ahead})
    assert (assigned(result) != {}) == keeps


@pytest.mark.parametrize(("older", "keeps"), [(TURN_SECONDS - 10, True), (TURN_SECONDS + 10, False)])
def test_pools_of_a_namespace_take_turns_by_age(older: float, *, keeps: bool) -> None:
    waiting = [*demands(9, STUDIO, waited=10), demand("old", pool("studio", "shared"), waited=10 + older)]
    result = decide(waiting, busy("s", 1, STUDIO), profiles=ONE)
    assert (assigned(result) != {}) == keeps


def test_who_holds_one_more_keeps_it() -> None:
    three = {"l4": hardware(maxServers=3)}
    servers = [*busy("s", 2, STUDIO), *busy("a", 1, ATELIER)]
    result = decide([*demands(9, STUDIO, "s"), *demands(9, ATELIER, "a")], servers, profiles=three)
    assert set(assigned(result).values()) == {"s0", "s1", "a0"}


def test_a_pool_keeps_what_it_has_work_for_though_it_would_be_done_soon_with_less() -> None:
    servers = [*busy("s", 2, STUDIO), *busy("a", 2, ATELIER)]
    known = {key(STUDIO): 1.0, key(ATELIER): 60.0}
    result = decide([*demands(9, STUDIO, "s"), *demands(99, ATELIER, "a")], servers, profiles=FOUR, seconds=known)
    assert Counter(assigned(result).values()) == {"s0": 1, "s1": 1, "a0": 1, "a1": 1}


def test_jobs_that_take_no_time_need_a_server_as_well() -> None:
    """Attempts are told in whole seconds, and quick ones begin and end in the same."""
    assert grown(decide(demands(9, STUDIO), profiles=FOUR, seconds={key(STUDIO): 0.0})) == {"studio": 1}


def test_for_a_pool_whose_servers_failed_to_start_one_is_taken_at_a_time() -> None:
    waiting = [*demands(9, STUDIO, "s"), *demands(9, ATELIER, "a")]
    idle = [server(f"s{number}", STUDIO) for number in range(4)]
    result = decide(waiting, idle, profiles=FOUR, broken={key(ATELIER)})
    assert len(retired(result)) == 1
    assert result.grow == [ATELIER]
    result = decide(waiting, [*idle[:3], starting("a", ATELIER)], profiles=FOUR, broken={key(ATELIER)})
    assert not result.retire
    result = decide(waiting, [*idle[:3], starting("a", ATELIER)], profiles=FOUR)
    assert len(retired(result)) == 1


def test_a_server_that_does_not_start_makes_room_for_one_that_may() -> None:
    broken = starting("broken", ATELIER, fails_at=NOW)
    result = decide([*demands(9, ATELIER), *demands(1, STUDIO)], [broken], profiles=ONE)
    assert retired(result) == {"broken": "Yielded"}
    assert result.grow == [STUDIO]


def test_a_pool_that_backs_off_holds_no_place() -> None:
    until = {key(ATELIER): NOW + timedelta(seconds=100)}
    result = decide([*demands(9, ATELIER), *demands(1, STUDIO, waited=6)], profiles=ONE, not_before=until)
    assert result.grow == [STUDIO]


def test_servers_of_the_same_namespace_make_room_within_its_limit() -> None:
    profiles = {"l4": hardware(), "a100": hardware("a100")}
    elsewhere = server("idle", pool("studio", profile_name="a100"))
    result = decide([demand("a", STUDIO)], [elsewhere], profiles=profiles, limits={"studio": Limits(servers=1)})
    assert retired(result) == {"idle": "Yielded"}
    assert result.grow == [STUDIO]


def test_with_both_limits_reached_one_is_overcome_after_the_other() -> None:
    profiles = {"l4": hardware(maxServers=1), "a100": hardware("a100")}
    servers = [server("own", pool("studio", profile_name="a100")), server("theirs", ATELIER)]
    limits = {"studio": Limits(servers=1)}
    result = decide([demand("a", STUDIO)], servers, profiles=profiles, limits=limits)
    assert retired(result) == {"own": "Yielded"}
    result = decide([demand("a", STUDIO)], servers[1:], profiles=profiles, limits=limits)
    assert retired(result) == {"theirs": "Yielded"}
    assert result.grow == [STUDIO]


def test_fewer_servers_when_maxservers_was_lowered() -> None:
    servers = [*busy("s", 2, STUDIO), server("idle", STUDIO)]
    result = decide(demands(9), servers, profiles=ONE)
    assert retired(result) == {"idle": "Yielded"}
    assert len(set(assigned(result).values())) == 1


def test_fewer_servers_when_the_limit_of_a_namespace_was_lowered() -> None:
    result = decide([], [server("s"), server("t", idle=1)], limits={"studio": Limits(servers=1)})
    assert retired(result) == {"s": "Yielded"}


def test_the_one_that_is_free_first_is_handed_over() -> None:
    profiles = {"l4": hardware(maxServers=2, queueDepth=3)}
    waiting = [*demands(9, STUDIO, "s"), *demands(9, ATELIER, "a")]
    result = decide(waiting, [server("s0", STUDIO, jobs=2), server("s1", STUDIO, jobs=1)], profiles=profiles)
    assert set(assigned(result).values()) == {"s0"}
    result = decide(waiting, [server("s0", STUDIO), starting("s1", STUDIO)], profiles=profiles)
    assert retired(result) == {"s1": "Yielded"}
    result = decide(waiting, [server("s0", STUDIO, jobs=1), server("s1", STUDIO)], profiles=profiles)
    assert retired(result) == {"s1": "Yielded"}
