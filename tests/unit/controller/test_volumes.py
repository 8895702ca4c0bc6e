"""Where pods go that mount claims: what kube-scheduler is asked for."""

from typing import Any

import pytest

from comfyard.controller.volumes import Volumes, claim_key, claim_labels, observe_volumes, with_claims
from comfyard.kube.kinds import Obj

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
A, B = claim_key("a"), claim_key("b")


def claim(name: str, *modes: str, bound: tuple[str, ...] = ()) -> Obj:
    status = {"phase": "Bound", "accessModes": list(bound)} if bound else {"phase": "Pending"}
    return {"metadata": {"name": name}, "spec": {"accessModes": list(modes)}, "status": status}


def pod(*mounted: str, phase: str = "Running") -> Obj:
    return {"metadata": {"labels": {"x": "y", **{claim_key(c): "" for c in mounted}}}, "status": {"phase": phase}}


def term(key: str) -> dict[str, Any]:
    expression = {"key": key, "operator": "Exists"}
    return {"labelSelector": {"matchExpressions": [expression]}, "topologyKey": "kubernetes.io/hostname"}


def around(*pods: Obj) -> Volumes:
    return observe_volumes([claim("a", "ReadWriteOnce"), claim("b", "ReadWriteOnce")], pods)


@pytest.mark.parametrize(
    ("found", "once", "shared"),
    [
        (claim("a", "ReadWriteOnce"), True, False),
        (claim("a", "ReadWriteMany"), False, True),
        (claim("a", "ReadOnlyMany"), False, True),
        (claim("a", "ReadWriteOncePod"), False, False),
        (claim("a", "ReadWriteOnce", bound=("ReadWriteOnce", "ReadWriteMany")), False, True),
        (claim("a", "ReadWriteOnce", bound=("ReadWriteOnce",)), True, False),
    ],
)
def test_what_its_volume_can_do_decides(found: Obj, *, once: bool, shared: bool) -> None:
    seen = observe_volumes([found], [])
    assert (bool(seen.once), bool(seen.shared)) == (once, shared)


def test_pods_carry_a_label_for_each_claim_of_one_node() -> None:
    seen = observe_volumes([claim("a", "ReadWriteOnce"), claim("b", "ReadWriteMany")], [])
    assert claim_labels(["a", "b", "unknown"], seen) == {A: ""}
    assert len(claim_key("c" * 253)) <= 63


def test_claims_that_any_node_can_mount_ask_for_nothing() -> None:
    assert with_claims(None, ["a"], Volumes()) is None
    assert with_claims({"nodeAffinity": {}}, ["a"], Volumes()) == {"nodeAffinity": {}}


def test_a_pod_goes_where_its_claim_is_and_the_first_of_them_anywhere() -> None:
    """It has the label that it asks for, which kube-scheduler takes for the first of a group."""
    assert with_claims(None, ["a"], around()) == {"podAffinity": {REQUIRED: [term(A)], PREFERRED: []}}


def test_what_the_user_asked_for_stays() -> None:
    asked: dict[str, Any] = {
        "nodeAffinity": {"x": 1},
        "podAffinity": {REQUIRED: [term("x")], PREFERRED: [{"weight": 1}]},
    }
    found = with_claims(asked, ["a"], around())
    assert found == {
        "nodeAffinity": {"x": 1},
        "podAffinity": {REQUIRED: [term("x"), term(A)], PREFERRED: [{"weight": 1}]},
    }
    assert asked["podAffinity"][REQUIRED] == [term("x")]


@pytest.mark.parametrize(
    ("pods", "required", "preferred"),
    [
        ((), [A, B], []),
        ((pod("a"),), [A], [B]),  # a store sync: a pod with both labels is nowhere, and required would be no help
        ((pod("a"), pod("b")), None, None),
        ((pod("a"), pod("a", "b")), [A, B], []),
        ((pod("a", phase="Succeeded"),), [A, B], []),
    ],
)
def test_of_several_claims_those_are_required_that_a_pod_has_together(
    pods: tuple[Obj, ...], required: list[str] | None, preferred: list[str] | None
) -> None:
    found = with_claims(None, ["a", "b"], around(*pods))
    assert found
    asked = {t["labelSelector"]["matchExpressions"][0]["key"] for t in found["podAffinity"][REQUIRED]}
    liked = {
        t["podAffinityTerm"]["labelSelector"]["matchExpressions"][0]["key"] for t in found["podAffinity"][PREFERRED]
    }
    if required is None:  # one of them, always the same
        assert (len(asked), asked | liked) == (1, {A, B})
        assert found == with_claims(None, ["b", "a"], around(*reversed(pods)))
    else:
        assert (asked, liked) == (set(required), set(preferred or []))
