"""Pools whose servers fail to start: when the next one is tried, and when they count as broken."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.pools import Server, shape_of
from comfyard.controller.start_ups import StartUps
from comfyard.controller.trouble import Trouble
from tests.builders import NOW, profile

L4 = profile()
PROFILES = {"l4": L4}
POOL = ("studio", "l4-x")
STARTUP = timedelta(seconds=600)


def starting(name: str = "l4-1", since: datetime = NOW, **more: object) -> Server:
    first = Server("studio", name, "l4-x", "l4", ready=False, leaving=False, unready_since=since, shape=shape_of(L4))
    return replace(first, **more)  # type: ignore[arg-type]


def failing(name: str = "l4-1", reason: str = "ImagePullBackOff", since: datetime = NOW) -> Server:
    return starting(name, since, trouble=f"{reason}: no", reason=reason, fails_at=since)


def ready(name: str = "l4-1") -> Server:
    return replace(starting(name), ready=True, unready_since=None)


def seen(*passes: tuple[float, list[Server]], profiles: dict[str, HardwareProfile] = PROFILES) -> StartUps:
    """What is known after looks at these servers, each so many seconds after NOW."""
    found = StartUps()
    for seconds, servers in passes:
        found.see(servers, profiles, NOW + timedelta(seconds=seconds))
    return found


def test_a_server_that_only_starts_stops_nothing() -> None:
    found = seen((0, [starting()]), (10, [starting()]))
    assert (found.broken, found.not_before, found.look_at) == ({}, {}, None)


def test_while_one_fails_no_other_is_made_until_it_is_replaced() -> None:
    found = seen((1, [failing(), starting("l4-2")]))
    assert found.broken[POOL].reason == "ImagePullBackOff"
    assert found.not_before[POOL] == NOW + STARTUP


@pytest.mark.parametrize("reason", ["Unschedulable", "ClaimNotBound", "FailedMount"])
def test_nodes_may_come_for_many_servers_at_once(reason: str) -> None:
    found = seen((1, [failing(reason=reason)]))
    assert found.broken[POOL].reason == reason
    assert found.not_before == {}


def test_patience_ends_at_a_time_that_is_told() -> None:
    patient = replace(failing(reason="Unschedulable"), fails_at=NOW + timedelta(seconds=60))
    found = seen((1, [patient]))
    assert (found.broken, found.look_at) == ({}, NOW + timedelta(seconds=60))
    assert seen((60, [patient])).broken[POOL].reason == "Unschedulable"


def test_the_pauses_double_up_to_five_minutes() -> None:
    found, at, pauses = StartUps(), NOW, []
    for number in range(8):
        found.see([failing(f"l4-{number}", since=at)], PROFILES, at)
        found.see([], PROFILES, at)
        pauses.append((found.not_before[POOL] - at).total_seconds())
        at = found.not_before[POOL]
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]
    found.see([], PROFILES, at)
    assert found.not_before == {}
    assert found.broken[POOL].reason == "ImagePullBackOff"  # until one is ready


def test_a_failure_is_counted_once_however_often_it_is_seen() -> None:
    gone = replace(failing(), leaving=True)
    found = seen((0, [failing()]), (1, [gone]), (2, [gone]), (3, []))
    assert found.not_before[POOL] == NOW + timedelta(seconds=1 + 10)


def test_a_pod_that_kubelet_refuses_at_once_is_a_failure() -> None:
    over = replace(failing(reason="UnexpectedAdmissionError"), leaving=True, over=True)
    found = seen((0, [starting()]), (1, [over]), (2, []))
    assert found.not_before[POOL] == NOW + timedelta(seconds=1 + 10)


def test_a_server_that_was_not_ready_in_time_is_a_failure_without_words_of_its_own() -> None:
    found = seen((600, [starting()]), (601, []))
    assert found.broken[POOL].reason == "StartTimeout"
    assert "not ready within spec.server.startupSeconds, 600, of profile l4" in found.broken[POOL].message
    assert found.not_before[POOL] == NOW + timedelta(seconds=601 + 10)


def test_a_server_that_is_taken_away_while_it_starts_has_not_failed() -> None:
    found = seen((0, [starting()]), (5, [replace(starting(), leaving=True)]), (6, []))
    assert (found.broken, found.not_before) == ({}, {})


def test_one_that_is_ready_ends_it() -> None:
    found = seen((0, [failing()]), (1, []), (20, [starting("l4-2")]), (30, [ready("l4-2")]))
    assert (found.broken, found.not_before) == ({}, {})
    found.see([], PROFILES, NOW)
    assert found.broken == {}


def test_a_ready_server_shows_that_the_others_can_start() -> None:
    found = seen((0, [ready(), failing("l4-2")]))
    assert (found.broken, found.not_before) == ({}, {})


def test_what_happens_to_a_server_that_was_ready_is_no_failed_start() -> None:
    found = seen((0, [ready()]), (5, [failing(reason="CrashLoopBackOff")]), (6, []))
    assert (found.broken, found.not_before) == ({}, {})


def test_a_changed_profile_begins_anew() -> None:
    found = seen((0, [failing()]), (1, []))
    changed = {"l4": profile(server={"image": "comfyui:2"})}
    found.see([failing("l4-1")], changed, NOW + timedelta(seconds=2))
    assert (found.broken, found.not_before) == ({}, {})


def test_a_profile_that_is_gone_is_forgotten() -> None:
    found = seen((0, [failing()]))
    found.see([failing()], {}, NOW)
    assert (found.broken, found.not_before) == ({}, {})


def test_pools_fail_by_themselves() -> None:
    other = replace(failing("l4-9"), namespace="other")
    found = seen((0, [ready(), other]))
    assert set(found.broken) == {("other", "l4-x")}
    assert found.broken_in("studio") == {}
    assert set(found.broken_in("other")) == {"l4-x"}
    assert set(found.broken_of("l4")) == {("other", "l4-x")}
    assert found.broken_of("a100") == {}


def test_a_failure_is_forgotten_when_nobody_asks_for_another_server() -> None:
    found = seen((0, [failing()]), (1, []), (12, []))
    assert found.broken[POOL].reason == "ImagePullBackOff"
    forgets = found.look_at
    assert forgets == NOW + timedelta(seconds=1 + 10 + 600)
    found.see([], PROFILES, forgets - timedelta(seconds=1))
    assert POOL in found.broken
    found.see([], PROFILES, forgets)
    assert (found.broken, found.broken_of("l4"), found.look_at) == ({}, {}, None)


def test_a_refusal_of_the_api_server_is_a_failure_too() -> None:
    found = StartUps()
    why = Trouble("Refused", "exceeded quota: gpus")
    for pause in (10, 20):
        found.refused(POOL, L4, why, NOW)
        assert found.broken[POOL] == why
        assert found.not_before[POOL] == NOW + timedelta(seconds=pause)
    found.see([ready()], PROFILES, NOW)
    assert (found.broken, found.not_before) == ({}, {})


STATES = [starting(), failing(), failing(reason="Unschedulable"), ready(), replace(starting(), leaving=True)]


@given(st.lists(st.sampled_from([*STATES, None]), max_size=30), st.lists(st.integers(1, 400), min_size=30, max_size=30))
def test_no_pause_is_longer_than_it_may_be_and_a_ready_server_always_ends_it(
    states: list[Server | None], steps: list[int]
) -> None:
    found, at = StartUps(), NOW
    for state, step in zip(states, steps, strict=False):
        at += timedelta(seconds=step)
        server = replace(state, unready_since=at) if state and not state.ready else state
        found.see([server] if server else [], PROFILES, at)
        for until in found.not_before.values():
            assert at < until <= at + max(STARTUP, timedelta(seconds=300))
    found.see([ready("l4-new")], PROFILES, at)
    assert (found.broken, found.not_before) == ({}, {})
