"""The status of a HardwareProfile."""

from dataclasses import replace
from typing import Any

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.pools import Server
from comfyard.controller.profiles import Observed, Plan, plan
from comfyard.controller.trouble import Trouble
from tests.builders import NOW, profile

READY = Server("studio", "l4-1", "l4-x", "l4", ready=True, leaving=False)
STARTING = replace(READY, name="l4-2", ready=False, unready_since=NOW)
BUSY = replace(READY, name="l4-3", jobs=(("studio", "a"),))
PULL = Trouble("ImagePullBackOff", "container comfyui: image x cannot be had; correct spec.server.image of profile l4")


def condition(result: Plan, kind: str = "Ready") -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in result.status["conditions"] if c["type"] == kind)
    return found


def again(result: Plan, seen: Observed, of: HardwareProfile | None = None) -> Plan:
    """The next look, once the first one's status is written."""
    whole = (of or profile()).to_api()
    return plan(HardwareProfile.model_validate({**whole, "status": result.status}), result.status, seen, NOW)


def test_servers_are_counted_and_those_that_leave_are_not() -> None:
    leaving = replace(READY, name="l4-4", leaving=True)
    result = plan(profile(), {}, Observed([READY, STARTING, BUSY, leaving], 7), NOW)
    assert result.status["servers"] == {"total": 3, "starting": 1, "idle": 1, "busy": 1}
    assert result.status["queued"] == 7
    assert (condition(result)["status"], condition(result)["message"]) == ("True", "servers start when jobs need them")


def test_a_profile_whose_servers_do_not_start_says_why_and_is_tried_again() -> None:
    result = plan(profile(), {}, Observed([STARTING], 1, {("studio", "l4-x"): PULL}), NOW)
    assert condition(result)["status"] == condition(result, "Stalled")["status"] == "False"
    assert condition(result, "Reconciling")["status"] == "True"
    assert condition(result)["reason"] == "ImagePullBackOff"
    assert condition(result)["message"] == f"servers do not start (in namespace studio): {PULL.message}"


def test_what_works_in_one_namespace_is_ready_and_tells_of_the_other() -> None:
    result = plan(profile(), {}, Observed([READY], 1, {("other", "l4-y"): PULL}), NOW)
    assert condition(result)["status"] == "True"
    assert condition(result)["message"] == f"servers do not start in namespace other: {PULL.message}"


def test_a_server_that_waits_is_told_before_it_counts_as_failing() -> None:
    gated = replace(STARTING, trouble="waiting for quota in queue gpus", reason="WaitingForQuota")
    result = plan(profile(), {}, Observed([gated], 1), NOW)
    assert condition(result)["status"] == "True"
    assert condition(result)["message"] == "server l4-2: waiting for quota in queue gpus"


def test_people_hear_of_a_reason_once_and_again_after_it_was_over() -> None:
    fails, works = Observed([STARTING], 1, {("studio", "l4-x"): PULL}), Observed([READY])
    first = plan(profile(), {}, fails, NOW)
    assert first.news == PULL
    assert again(first, replace(fails, servers=[STARTING, replace(STARTING, name="l4-5")])).news is None
    other = Observed([STARTING], 1, {("studio", "l4-x"): Trouble("CrashLoopBackOff", "it ends")})
    assert again(first, other).news == Trouble("CrashLoopBackOff", "it ends")
    healed = again(first, works)
    assert (healed.news, condition(healed)["status"]) == (None, "True")
    assert again(healed, fails).news == PULL


def test_nothing_is_written_when_nothing_has_changed() -> None:
    seen = Observed([STARTING], 1, {("studio", "l4-x"): PULL})
    first = plan(profile(), {}, seen, NOW)
    assert again(first, seen).status == first.status


def test_a_warm_up_is_told_of_only_when_it_is_asked_for() -> None:
    warm = profile(pool={"warmUp": {"namespace": "studio", "template": "t"}})
    assert "WarmUp" not in {c["type"] for c in plan(profile(), {}, Observed([]), NOW).status["conditions"]}
    cold = plan(warm, {}, Observed([], cold=Trouble("TemplateNotFound", "no t")), NOW)
    assert condition(cold)["status"] == "True"  # it works without
    assert (condition(cold, "WarmUp")["status"], condition(cold, "WarmUp")["reason"]) == ("False", "TemplateNotFound")
    assert condition(cold, "WarmUp")["message"] == "servers are not warmed up: no t"
    assert condition(again(cold, Observed([]), warm), "WarmUp")["status"] == "True"
    assert condition(again(cold, Observed([])), "WarmUp")["reason"] == "NotWanted"
