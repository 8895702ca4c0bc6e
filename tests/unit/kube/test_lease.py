from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from comfyard.kube.lease import TERMS, Seen, free_at, given_back, holder, next_look, observe, still_leads, taken

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def lease(by: str | None = "a", **spec: Any) -> dict[str, Any]:
    held = {"holderIdentity": by} if by is not None else {}
    return {"metadata": {"name": "comfyard"}, "spec": {"leaseDurationSeconds": 15, **held, **spec}}


@pytest.mark.parametrize(
    ("found", "who"), [(None, ""), ({"metadata": {}}, ""), (lease(None), ""), (lease(""), ""), (lease("a"), "a")]
)
def test_who_holds_it(found: dict[str, Any] | None, who: str) -> None:
    assert holder(found) == who


@pytest.mark.parametrize("found", [None, lease(None), lease(""), lease("b")])
def test_what_nobody_else_holds_may_be_taken_at_once(found: dict[str, Any] | None) -> None:
    assert free_at(Seen(found, since=100), "b") == 100


def test_a_dead_holders_lease_is_free_once_it_has_looked_the_same_for_its_duration() -> None:
    seen = observe(None, lease(renewTime="1"), now=100)
    for now in (105, 110):
        seen = observe(seen, lease(renewTime="1"), now)
    assert free_at(seen, "b") == 115
    assert free_at(observe(seen, lease(renewTime="2"), 114), "b") == 129


def test_the_duration_is_that_of_who_holds_it() -> None:
    assert free_at(Seen(lease(leaseDurationSeconds=40), since=0), "b") == 40
    assert free_at(Seen({"spec": {"holderIdentity": "a"}}, since=0), "b") == TERMS.duration


@pytest.mark.parametrize("years", [-10, 10])
def test_what_time_the_holder_thinks_it_is_does_not_matter(years: int) -> None:
    time = (NOW + timedelta(days=365 * years)).isoformat()
    assert free_at(observe(None, lease(renewTime=time), now=100), "b") == 115


def test_labels_renew_nothing() -> None:
    labelled = {**lease(), "metadata": {"labels": {"team": "video"}, "resourceVersion": "9"}}
    assert observe(Seen(lease(), since=100), labelled, now=110) == Seen(labelled, since=100)


def test_a_lease_that_came_back_is_new() -> None:
    gone = observe(Seen(lease(), since=100), None, now=105)
    assert observe(gone, lease(), now=106) == Seen(lease(), since=106)


@pytest.mark.parametrize(
    ("seen", "seconds"),
    [
        (None, 1),  # the API server has not answered yet
        (Seen(lease(), since=100), 1),  # it may be given back
        (Seen(lease(), since=85.3), 0.3),  # exactly when it is free
        (Seen(lease(), since=80), 1),  # it was free, and could not be taken
    ],
)
def test_when_who_waits_looks_again(seen: Seen | None, seconds: float) -> None:
    assert next_look(seen, "b", 100, TERMS) == pytest.approx(seconds)


def test_a_holder_stops_before_another_one_may_begin() -> None:
    assert still_leads(100, 109.9, TERMS)
    assert not still_leads(100, 110, TERMS)
    assert not still_leads(None, 0, TERMS)
    assert TERMS.renew_every + TERMS.request < TERMS.deadline < TERMS.duration


def test_it_is_taken_over() -> None:
    before = lease(acquireTime="2020-01-01T00:00:00.000000Z", leaseTransitions=3)
    assert taken(before, "b", TERMS, NOW) == {
        "holderIdentity": "b",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-02T03:04:05.000678Z",
        "renewTime": "2026-01-02T03:04:05.000678Z",
        "leaseTransitions": 4,
    }


def test_renewing_keeps_when_it_was_acquired() -> None:
    first = taken(None, "a", TERMS, NOW)
    assert first["leaseTransitions"] == 0
    later = taken({"spec": first}, "a", TERMS, NOW + timedelta(seconds=2))
    assert later == {**first, "renewTime": "2026-01-02T03:04:07.000678Z"}


def test_what_is_given_back_is_nobodys() -> None:
    spec = {**lease()["spec"], **given_back(NOW)}
    assert holder({"spec": spec}) == ""
    assert taken({"spec": spec}, "b", TERMS, NOW)["leaseTransitions"] == 1
