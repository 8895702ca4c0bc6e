from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfyard.controller.status import merge_patch

VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def apply(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = apply(out.get(key), value)
    return out


@given(OBJECTS, OBJECTS)
def test_applying_the_patch_gives_what_should_be(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert apply(before, merge_patch(before, after)) == after


@given(OBJECTS)
def test_no_difference_is_no_patch(value: dict[str, Any]) -> None:
    assert merge_patch(value, value) == {}


def test_only_what_differs_is_sent() -> None:
    before, after = {"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1, "c": 3}, "d": [1]}
    assert merge_patch(before, after) == {"a": {"c": 3}}
