"""Growth, retirement and why jobs wait. Who gets which server is in test_affinity.py, contention in test_grants.py."""

import sys
from collections import Counter
from datetime import timedelta

import pytest

from comfyard.controller.scheduler import schedule
from comfyard.controller.snapshot import Limits, Schedule
from tests.builders import NOW
from tests.unit.controller.fleets import (
    WAITED,
    assigned,
    decide,
    demand,
    demands,
    hardware,
    key,
    pool,
    retired,
    server,
    snapshot,
    starting,
)

STUDIO = pool()
MANY = {"l4": hardware(maxServers=100)}


def test_no_server_makes_the_pool_grow_and_the_job_is_told() -> None:
    result = decide([demand("a")])
    assert result.grow == [STUDIO]
    assert result.blocked == {key(STUDIO): "a server of profile l4 is starting"}


def test_the_words_are_the_same_once_the_server_is_there() -> None:
    before, after = decide([demand("a")]), decide([demand("a")], [starting("s")])
    assert before.blocked == after.blocked


def test_nothing_to_do_is_nothing_to_say() -> None:
    assert decide() == Schedule()


@pytest.mark.parametrize(
    ("waiting", "seconds", "servers"),
    [(5, None, 5), (300, 1, 10), (29, 1, 1), (5, 0.01, 1), (3, 600, 3), (1000, 600, 100)],
)
def test_a_pool_grows_to_what_is_done_with_its_backlog_soon(waiting: int, seconds: float | None, servers: int) -> None:
    known = {} if seconds is None else {key(STUDIO): seconds}
    assert len(decide(demands(waiting), profiles=MANY, seconds=known).grow) == servers


def test_jobs_that_run_count_too() -> None:
    known = {key(STUDIO): 20.0}
    assert not decide([demand("a")], [server("s", jobs=1), server("t")], profiles=MANY, seconds=known).grow
    assert len(decide([demand("a")], [server("s", jobs=2)], profiles=MANY, seconds=known).grow) == 1


def test_servers_on_the_way_are_not_ordered_twice() -> None:
    result = decide(demands(3), [starting("s")], profiles=MANY)
    assert len(result.grow) == 2


def test_servers_on_the_way_count_when_their_jobs_went_elsewhere() -> None:
    result = decide(demands(2), [starting("s"), server("t")], profiles=MANY)
    assert not result.grow
    assert set(assigned(result).values()) == {"t"}


def test_a_second_place_on_a_busy_server_is_no_capacity() -> None:
    result = decide([demand("a", models="m")], [server("s", jobs=1, models="m")], profiles=MANY)
    assert assigned(result) == {"a": "s"}
    assert result.grow == [STUDIO]


def test_the_limit_of_the_profile_holds_over_all_namespaces() -> None:
    servers = [server("s", jobs=2), server("t", pool("atelier"), jobs=2)]
    result = decide([demand("a")], servers)
    assert not result.grow
    assert result.blocked == {key(STUDIO): "all 2 servers of profile l4 are busy (pool.maxServers)"}


def test_the_limit_of_a_namespace_holds_over_all_profiles() -> None:
    profiles = {"l4": hardware(), "a100": hardware("a100")}
    other = pool(profile_name="a100")
    limits = {"studio": Limits(servers=1)}
    result = decide([demand("a")], [server("s", other, jobs=1)], profiles=profiles, limits=limits)
    assert not result.grow
    assert "comfyard.io/max-servers" in result.blocked[key(STUDIO)]
    assert decide([demand("a")], [server("s", other, jobs=1)], profiles=profiles).grow == [STUDIO]


def test_a_namespace_has_no_more_jobs_at_once_than_its_label_says() -> None:
    limits = {"studio": Limits(jobs=2)}
    servers = [server("s", jobs=1), server("t"), server("u")]
    result = decide(demands(3), servers, profiles=MANY, limits=limits)
    assert len(result.assign) == 1
    assert not result.grow
    expected = "2 jobs of the namespace have a server (label comfyard.io/max-jobs of the namespace)"
    assert result.blocked == {key(STUDIO): expected}


def test_a_pool_that_backs_off_is_looked_at_when_that_is_over() -> None:
    until = {key(STUDIO): NOW + timedelta(seconds=40)}
    result = decide([demand("a")], not_before=until)
    assert not result.grow
    assert result.wake_after == 40
    assert "could not be started" in result.blocked[key(STUDIO)]
    assert decide([demand("a")], not_before={key(STUDIO): NOW}).grow == [STUDIO]


def test_a_waiting_job_is_told_what_is_wrong_with_the_server_that_starts() -> None:
    result = decide([demand("a")], [starting("s", trouble="ImagePullBackOff: no such image")])
    assert result.blocked[key(STUDIO)] == "a server of profile l4 is starting: ImagePullBackOff: no such image"


def test_jobs_of_a_profile_that_does_not_exist_change_nothing() -> None:
    result = decide([demand("a", pool(profile_name="gone"))], [server("s", pool(profile_name="gone"), idle=10_000)])
    assert result == Schedule()


def test_idle_servers_go_after_their_time_and_no_earlier() -> None:
    result = decide([], [server("old", idle=61), server("young", idle=20)])
    assert retired(result) == {"old": "Idle"}
    assert result.wake_after == 40


def test_the_servers_that_are_to_stay_are_those_that_worked_last() -> None:
    profiles = {"l4": hardware(minServers=1, maxServers=3)}
    servers = [server("s", idle=99), server("t", idle=61), server("u", idle=80)]
    assert retired(decide([], servers, profiles=profiles)) == {"s": "Idle", "u": "Idle"}


def test_a_server_that_starts_is_no_reason_for_the_last_ready_one_to_go() -> None:
    profiles = {"l4": hardware(minServers=1)}
    assert not retired(decide([], [server("s", idle=99), starting("t")], profiles=profiles))


def test_a_server_that_gets_a_job_in_this_pass_does_not_go() -> None:
    result = decide([demand("a")], [server("s", idle=1000)])
    assert assigned(result) == {"a": "s"}
    assert not result.retire


@pytest.mark.parametrize("was_ready", [True, False])
def test_a_server_that_is_not_ready_for_too_long_is_replaced(was_ready: bool) -> None:  # noqa: FBT001
    late = starting("late", since=601, warm_since=NOW if was_ready else None)
    result = decide([demand("a")], [late, starting("new", since=590)])
    assert retired(result) == {"late": "Unready"}
    assert result.wake_after == 10


def test_a_server_that_is_not_ready_but_has_a_job_is_left_to_that() -> None:
    assert not decide([], [starting("s", since=9999, jobs=1)]).retire


def test_what_is_left_of_an_evicted_server_is_removed_and_takes_no_place() -> None:
    evicted = server("evicted", ready=False, leaving=True, over=True, idle_since=None)
    result = decide([demand("a")], [evicted, server("t", pool("atelier"), jobs=1)])
    assert retired(result) == {"evicted": "Over"}
    assert result.grow == [STUDIO]


def test_the_minimum_comes_with_the_first_job() -> None:
    profiles = {"l4": hardware(minServers=3, maxServers=5)}
    assert not decide([], profiles=profiles).grow
    assert decide([demand("a")], profiles=profiles).grow == [STUDIO] * 3
    assert decide([demand("a")], [server("s")], profiles=profiles).grow == [STUDIO] * 2


def test_with_a_warm_pool_the_minimum_comes_before_the_first_job() -> None:
    profiles = {"l4": hardware(minServers=2, maxServers=3)}
    result = decide([], [server("s")], profiles=profiles, warm={"l4": STUDIO})
    assert result.grow == [STUDIO]
    assert not result.blocked


def test_the_warm_pool_keeps_its_servers_and_others_go_first() -> None:
    profiles = {"l4": hardware(minServers=1, maxServers=3)}
    servers = [server("warm", idle=500), server("other", pool("atelier"), idle=100)]
    assert retired(decide([], servers, profiles=profiles, warm={"l4": STUDIO})) == {"other": "Idle"}


def test_the_next_pass_comes_when_something_changes_by_time() -> None:
    assert decide([demand("a", waited=1)], [server("s", idle=50)]).wake_after is None
    assert decide([], [server("s", idle=50), starting("t", since=595)]).wake_after == 5


def test_jobs_that_wait_for_their_own_servers_are_told_so() -> None:
    known = {key(STUDIO): 2.0}
    result = decide(demands(2, waited=WAITED), [server("s", jobs=2)], profiles=MANY, seconds=known)
    assert "free before another could start" in result.blocked[key(STUDIO)]


def test_a_pass_costs_the_same_however_many_wait() -> None:
    servers = [server("s", jobs=1, models="m"), server("t"), server("u", pool("atelier"), jobs=2)]

    def calls(waiting: int) -> int:
        seen = snapshot([*demands(waiting, models="m"), *demands(waiting, pool("atelier"))], servers, MANY)
        counted: Counter[str] = Counter()
        sys.setprofile(lambda _frame, event, _what: counted.update([event]))
        try:
            schedule(seen, NOW)
        finally:
            sys.setprofile(None)
        return counted["call"] + counted["c_call"]

    assert calls(200) == calls(5000)
