"""Whatever a file holds, it is converted or refused with a reason."""

import json
from copy import deepcopy
from importlib.resources import files
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from comfyard.workflow.conversion.convert import Conversion, ConversionError, convert
from comfyard.workflow.graph import check_graph
from comfyard.workflow.object_info import core

FILES = (
    "image_kandinsky5_t2i.json",
    "templates-image_to_real.json",
    "flux_redux_model_example.json",
    "templates-1_click_multiple_scene_angles-v1.0.json",
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-11, 120) | st.floats(allow_nan=False) | st.sampled_from(["", "x", "-10"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "name", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def template(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((files("comfyui_workflow_templates_json") / "templates" / name).read_bytes())
    return {key: content[key] for key in ("nodes", "links", "definitions") if key in content}


TEMPLATES = {name: template(name) for name in FILES}


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A template in which up to four places hold something else, or nothing."""
    workflow: Any = deepcopy(TEMPLATES[draw(st.sampled_from(FILES))])
    for _ in range(draw(st.integers(1, 4))):
        place = workflow
        for _ in range(draw(st.integers(1, 8))):
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(place[key], (dict, list)) or draw(st.integers(0, 9)) == 0:
                if draw(st.booleans()):
                    place[key] = draw(JUNK)
                else:
                    del place[key]
                break
            place = place[key]
    return dict(workflow)


def outcome(workflow: dict[str, Any]) -> Conversion | ConversionError:
    try:
        return convert(workflow, core())
    except ConversionError as error:
        return error


def test_the_files_themselves_convert() -> None:
    assert all(isinstance(outcome(workflow), Conversion) for workflow in TEMPLATES.values())


@settings(max_examples=150, deadline=None)
@given(damaged())
def test_damaged_files(workflow: dict[str, Any]) -> None:
    match outcome(workflow):
        case Conversion(graph=graph):
            assert check_graph(graph) == [] or graph == {}
        case error:
            assert all(problem.describe() for problem in error.problems)
