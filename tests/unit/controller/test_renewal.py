"""A changed profile and jobsPerServer: servers are replaced without a pause."""

from comfyard.controller.pools import Server
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

STUDIO = pool()
ROOM = {"l4": hardware(maxServers=9)}
FULL = {"l4": hardware(maxServers=2)}


def outdated(name: str, **more: object) -> Server:
    return server(name, **{"shape": "former", **more})  # type: ignore[arg-type]


def test_an_outdated_server_takes_jobs_until_its_replacement_is_ready() -> None:
    result = decide([demand("a")], [outdated("old")], profiles=ROOM)
    assert assigned(result) == {"a": "old"}
    assert result.grow == [STUDIO]
    result = decide([demand("a")], [outdated("old"), starting("new")], profiles=ROOM)
    assert assigned(result) == {"a": "old"}
    assert not result.grow


def test_it_goes_when_its_replacement_is_ready() -> None:
    result = decide([demand("a")], [outdated("old"), server("new")], profiles=ROOM)
    assert assigned(result) == {"a": "new"}
    assert retired(result) == {"old": "Outdated"}


def test_it_goes_at_once_when_there_is_nothing_to_do() -> None:
    assert retired(decide([], [outdated("old")], profiles=ROOM)) == {"old": "Outdated"}


def test_one_that_still_starts_goes_at_once() -> None:
    result = decide([demand("a")], [starting("old", shape="former")], profiles=ROOM)
    assert retired(result) == {"old": "Outdated"}
    assert result.grow == [STUDIO]


def test_one_that_works_is_left_alone() -> None:
    assert not decide([], [outdated("old", jobs=1)], profiles=ROOM).retire


def test_one_that_is_there_for_the_minimum_waits_for_a_job_as_nobody_knows_how_to_replace_it() -> None:
    least = {"l4": hardware(minServers=1)}
    assert not decide([], [outdated("old")], profiles=least).retire
    result = decide([demand("a")], [outdated("old")], profiles=least)
    assert assigned(result) == {"a": "old"}
    assert result.grow == [STUDIO]


def test_without_room_one_after_the_other_makes_some() -> None:
    servers = [outdated("s", jobs=1), outdated("t", jobs=1)]
    result = decide(demands(9), servers, profiles=FULL)
    assert not result.grow
    assert not result.retire
    assert set(assigned(result).values()) == {"t"}, "one of the two gets no further job"

    servers = [outdated("s"), outdated("t", jobs=2)]
    result = decide(demands(9), servers, profiles=FULL)
    assert retired(result) == {"s": "Outdated"}
    assert result.grow == [STUDIO]

    servers = [starting("new"), outdated("t", jobs=1)]
    result = decide(demands(9), servers, profiles=FULL)
    assert set(assigned(result).values()) == {"t"}, "it goes on until the first replacement is ready"


def test_outdated_ones_stand_in_for_as_many_as_are_wanted() -> None:
    servers = [server("new"), outdated("s"), outdated("t"), outdated("u")]
    result = decide(demands(3), servers, profiles={"l4": hardware(maxServers=4, queueDepth=1)})
    taken = set(assigned(result).values())
    assert "new" in taken
    assert len(taken) == 3
    assert len(retired(result)) == 1
    assert len(result.grow) == 1


def test_a_server_has_no_more_jobs_than_it_may_run_in_its_life() -> None:
    profiles = {"l4": hardware(jobsPerServer=5, maxServers=9)}
    result = decide(demands(3), [server("s", done=4)], profiles=profiles)
    assert list(assigned(result).values()) == ["s"]
    result = decide(demands(1), [server("s", done=4, jobs=1)], profiles=profiles)
    assert not result.assign
    assert result.grow == [STUDIO]


def test_one_that_has_run_them_goes() -> None:
    profiles = {"l4": hardware(jobsPerServer=5)}
    result = decide(demands(1), [server("s", done=5), server("t", jobs=2)], profiles=profiles)
    assert retired(result) == {"s": "Recycled"}
    assert result.grow == [STUDIO]
    assert not decide([], [server("s", done=5, jobs=1)], profiles=profiles).retire


def test_servers_beside_those_that_they_replace_are_no_reason_for_more() -> None:
    servers = [outdated("s", jobs=1), outdated("t", jobs=1), server("u", jobs=1), server("v", jobs=1)]
    result = decide(demands(9), servers, profiles=ROOM, seconds={key(STUDIO): 1.0})
    assert set(assigned(result).values()) == {"u", "v"}
    assert not result.grow
