"""What holds for all graphs and values: substitution, digests, ids of prompts."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.workflow_template import Parameter, WorkflowTemplateSpec
from comfyard.workflow.digest import digest
from comfyard.workflow.findings import Place
from comfyard.workflow.landings import landings, placeholders, substitute
from comfyard.workflow.prompts import build_prompts

NAMES = ("prompt", "steps", "photo")
TEXT = st.text(max_size=4) | st.sampled_from([f"{{{{{name}}}}}" for name in (*NAMES, "unknown")])
STRINGS = st.lists(TEXT, min_size=1, max_size=3).map("".join)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | STRINGS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
NODE = st.fixed_dictionaries(
    {
        "class_type": st.text(min_size=1, max_size=5),
        "inputs": st.dictionaries(st.sampled_from("abcd"), JSON, max_size=4),
    },
    optional={"_meta": st.dictionaries(st.just("title"), STRINGS)},
)
GRAPHS = st.dictionaries(st.sampled_from(["1", "2", "57:8"]), NODE, max_size=3)
TARGETS = st.lists(st.tuples(st.sampled_from(["1", "2", "9"]), st.sampled_from("abcz")), max_size=3, unique=True).map(
    lambda pairs: [{"node": node, "input": name} for node, name in pairs]
)
VALUES = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON))


def leaves(value: object, place: Place = ()) -> Iterator[tuple[Place, object]]:
    """Every value that holds no others, by its place; empty lists and objects are some."""
    below: list[tuple[str | int, object]] = []
    match value:
        case dict():
            below = list(value.items())
        case list():
            below = list(enumerate(value))
    if not below:
        yield place, value
    for key, each in below:
        yield from leaves(each, (*place, key))


@given(GRAPHS, VALUES, TARGETS)
def test_substitution_changes_only_what_is_named(
    graph: dict[str, Any], values: dict[str, Any], targets: list[dict[str, str]]
) -> None:
    before = json.dumps(graph)
    parameter = Parameter.model_validate({"name": "steps", "type": "String", "targets": targets})
    after = substitute(graph, values, [parameter])
    assert json.dumps(graph) == before
    assert list(after) == list(graph)
    targeted = {(t["node"], "inputs", t["input"]) for t in targets if "steps" in values and t["node"] in graph}
    named = {place for place, value in leaves(graph) if _names(place, value, values)} | targeted
    assert json.dumps(_without(after, named)) == json.dumps(_without(graph, named))
    assert all(after[node][key][name] == values["steps"] for node, key, name in targeted)


def _names(place: Place, value: object, values: dict[str, Any]) -> bool:
    return place[1:2] == ("inputs",) and isinstance(value, str) and bool(placeholders(value) & set(values))


def _without(value: Any, places: set[Place], at: Place = ()) -> Any:
    """The value without what is at these places."""
    match value:
        case dict():
            return {k: _without(each, places, (*at, k)) for k, each in value.items() if (*at, k) not in places}
        case list():
            return [None if (*at, i) in places else _without(each, places, (*at, i)) for i, each in enumerate(value)]
    return value


@given(GRAPHS, VALUES)
def test_a_whole_placeholder_becomes_the_value_and_no_other_is_left(
    graph: dict[str, Any], values: dict[str, Any]
) -> None:
    after = substitute(graph, values, [])
    spec = WorkflowTemplateSpec.model_validate({"graph": graph, "outputs": [{"name": "x", "node": "1"}]})
    for name, places in landings(spec).items():
        for landing in places:
            if name in values and landing.whole:
                assert after[landing.node]["inputs"][landing.input] == values[name]


def shuffled(value: Any, order: Any) -> Any:
    match value:
        case dict():
            keys = order.draw(st.permutations(list(value)))
            return {key: shuffled(value[key], order) for key in keys}
        case list():
            return [shuffled(each, order) for each in value]
    return value


@given(JSON, st.data())
def test_digests_do_not_depend_on_the_order_of_keys(value: Any, data: st.DataObject) -> None:
    assert digest(shuffled(value, data)) == digest(value)


@given(JSON, JSON)
def test_digests_of_other_content_are_others(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))


ORDERS = st.lists(
    st.tuples(st.uuids().map(str), st.integers(0, 5), st.integers(1, 4)), max_size=4, unique_by=lambda o: o[:2]
)


@given(ORDERS)
def test_prompts_never_share_an_id_nor_a_folder(orders: list[tuple[str, int, int]]) -> None:
    graph = {"9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}}
    spec = WorkflowTemplateSpec.model_validate({"graph": graph, "outputs": [{"name": "x", "node": "9"}]})
    prompts = [p for uid, attempt, n in orders for p in build_prompts(spec, {}, 0, uid=uid, attempt=attempt, count=n)]
    assert len({p.id for p in prompts}) == len(prompts) == len({p.prefix for p in prompts})
    assert all(p.id == str(uuid.UUID(p.id)) for p in prompts)
