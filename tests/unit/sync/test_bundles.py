from typing import Any

import pytest

from comfyard.kube.kinds import Obj
from comfyard.sync.bundles import OnClaim
from tests.unit.sync.bundles import bundle, model


def obj(name: str, generation: int = 1, **status: Any) -> Obj:
    made: Obj = bundle(name, model(), meta={"generation": generation}, status=status).to_api()
    return made


def names(on_claim: OnClaim) -> list[str]:
    return [b.metadata.name for b in on_claim.bundles]


def test_only_bundles_of_the_claim_and_the_oldest_first() -> None:
    old = bundle("old", model(), meta={"creationTimestamp": "2025-01-01T00:00:00Z"}).to_api()
    found = OnClaim().then([obj("b"), obj("a"), old, obj("elsewhere", claimName="other")], "models")
    assert names(found) == ["old", "a", "b"]
    assert found.unknown == ()


def test_a_deleted_bundle_stays_as_long_as_it_is_there_and_wants_nothing() -> None:
    going = bundle("going", model(), meta={"deletionTimestamp": "2026-01-02T00:00:00Z"}).to_api()
    [found] = OnClaim().then([going], "models").bundles
    assert found.wanted_models() == []


def test_a_change_counts_when_the_operator_has_seen_it() -> None:
    first = OnClaim().then([obj("b")], "models")
    second = first.then([obj("b", generation=2, observedGeneration=1)], "models")
    assert [b.metadata.generation for b in second.bundles] == [1]
    third = second.then([obj("b", generation=2, observedGeneration=2)], "models")
    assert [b.metadata.generation for b in third.bundles] == [2]
    assert third.then([], "models").bundles == ()
    assert third.then([obj("b", generation=2, observedGeneration=2, claimName="other")], "models").bundles == ()


@pytest.mark.parametrize(
    ("spec", "status", "unknown"),
    [
        ({}, {}, True),
        ({"claimName": "models"}, {}, True),
        ({"claimName": "other"}, {}, False),
        ({"claimTemplate": {"size": "1Gi"}}, {}, True),
        ({}, {"claimName": "models"}, True),
        ({}, {"claimName": "other"}, False),
    ],
)
def test_what_was_never_seen_observed_may_be_on_the_claim(
    spec: dict[str, Any], status: dict[str, Any], *, unknown: bool
) -> None:
    new = {"metadata": {"name": "new", "uid": "n", "generation": 1}, "spec": {"store": spec}, "status": status}
    assert OnClaim().then([new], "models").unknown == (("new",) if unknown else ())


def test_what_cannot_be_read_does_not_hold_up_others_but_nothing_is_removed(caplog: pytest.LogCaptureFixture) -> None:
    bad = {**obj("bad"), "spec": {"models": "of another version"}}
    found = OnClaim().then([bad, obj("good")], "models")
    assert names(found) == ["good"]
    assert found.unknown == ("bad",)
    assert "bundle bad is left alone, it cannot be read" in caplog.text
