from typing import Any

import pytest

from comfyard.controller.resources.access import Named, build_access
from comfyard.kube.applied import is_applied

NAMED = Named(job_secrets={"s3"})
WANTED = {"metadata": {"labels": {"a": "1"}}, "rules": [{"verbs": ["get"]}], "ingress": [], "mounted": False}


def test_what_others_and_the_api_server_have_added_is_theirs() -> None:
    found = {
        "metadata": {"labels": {"a": "1", "b": "2"}, "uid": "x"},
        "rules": [{"verbs": ["get"], "apiGroups": [""]}],
        "mounted": False,
        "status": {},
    }
    assert is_applied(WANTED, found)


@pytest.mark.parametrize(
    "changed",
    [
        {"metadata": {"labels": {"a": "2"}}},
        {"metadata": {"labels": {}}},
        {"metadata": {}},
        {"rules": []},
        {"rules": [{"verbs": ["get", "list"]}]},
        {"rules": [{"verbs": ["get"]}, {"verbs": ["get"]}]},
        {"rules": None},
        {"ingress": [{"from": []}]},
        {"mounted": True},
        {"mounted": None},
    ],
)
def test_what_has_changed_is_seen(changed: dict[str, Any]) -> None:
    assert not is_applied(WANTED, {**WANTED, **changed})


def test_only_what_is_the_same_for_another_operator_is_seen_as_applied() -> None:
    ours = build_access("studio", NAMED, image="ours")
    others = build_access("studio", Named(), families=(6,), image="other")
    same = [kind.kind for (kind, wanted), (_, found) in zip(ours, others, strict=True) if is_applied(wanted, found)]
    assert same == ["RoleBinding", "Role", "RoleBinding"]
