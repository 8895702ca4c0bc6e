"""Whose jobs a profile admits."""

from typing import Any

import pytest

from comfyard.api.hardware_profile import NamespaceSelection

FILM = {"team": "film", "tier": "gold"}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ({}, True),
        ({"matchLabels": {"team": "film"}}, True),
        ({"matchLabels": {"team": "film", "tier": "silver"}}, False),
        ({"matchLabels": {"absent": ""}}, False),
        (expression("team", "In", "music", "film"), True),
        (expression("team", "In", "music"), False),
        (expression("absent", "In", "film"), False),
        (expression("team", "NotIn", "music"), True),
        (expression("team", "NotIn", "film"), False),
        (expression("absent", "NotIn", "film"), True),  # as in Kubernetes
        (expression("team", "Exists"), True),
        (expression("absent", "Exists"), False),
        (expression("team", "DoesNotExist"), False),
        (expression("absent", "DoesNotExist"), True),
        ({"matchLabels": {"team": "film"}, **expression("tier", "NotIn", "gold")}, False),
    ],
)
def test_a_selector_selects_as_kubernetes_does(selector: dict[str, Any], *, allowed: bool) -> None:
    selection = NamespaceSelection.model_validate({"from": "Selector", "selector": selector})
    assert selection.allows(FILM) == allowed


def test_without_a_selector_all_are_admitted() -> None:
    assert NamespaceSelection().allows({})
