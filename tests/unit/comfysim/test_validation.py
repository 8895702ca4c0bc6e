from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from comfysim.folder_paths import FolderPaths
from comfysim.node_catalog import NodeCatalog
from comfysim.validation import Verdict, types_match, validate_prompt
from tests.unit.comfysim.harness import Graph, make_base, node, sd15

if TYPE_CHECKING:
    from pathlib import Path

    from comfysim.json_types import Json


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def catalog(base: Path) -> NodeCatalog:
    return NodeCatalog(FolderPaths.make(str(base)))


def with_input(node_id: str, **inputs: Json) -> Graph:
    graph = sd15()
    graph[node_id]["inputs"] |= inputs
    return graph


def only_error(verdict: Verdict, node_id: str) -> dict[str, Any]:
    assert verdict.error is not None
    assert verdict.error["type"] == "prompt_outputs_failed_validation"
    assert list(verdict.node_errors) == [node_id]
    assert verdict.node_errors[node_id]["dependent_outputs"] == ["9"]
    (error,) = verdict.node_errors[node_id]["errors"]
    return dict(error)


def test_a_sound_graph_is_accepted(catalog: NodeCatalog) -> None:
    assert validate_prompt(catalog, sd15(), None) == Verdict(None, ["9"], {})


@pytest.mark.parametrize(
    ("value", "kept"),
    [("64", 64), (64.9, 64), (True, 1), ({"__value__": "64"}, 64)],
    ids=["text", "float", "bool", "wrapped"],
)
def test_whole_numbers_are_converted(catalog: NodeCatalog, value: object, kept: int) -> None:
    graph = with_input("3", steps=value)
    assert validate_prompt(catalog, graph, None).error is None
    assert graph["3"]["inputs"]["steps"] == kept
    assert type(graph["3"]["inputs"]["steps"]) is int


@pytest.mark.parametrize("seed", [18446744073709551615, "18446744073709551615"], ids=["int", "text"])
def test_the_largest_seed_is_kept_exactly(catalog: NodeCatalog, seed: object) -> None:
    graph = with_input("3", seed=seed)
    assert validate_prompt(catalog, graph, None).error is None
    assert graph["3"]["inputs"]["seed"] == 2**64 - 1


def test_the_largest_seed_as_a_float_is_too_big(catalog: NodeCatalog) -> None:
    error = only_error(validate_prompt(catalog, with_input("3", seed=1.8446744073709552e19), None), "3")
    assert error == {
        "type": "value_bigger_than_max",
        "message": "Value 18446744073709551616 bigger than max of 18446744073709551615",
        "details": "seed",
        "extra_info": {
            "input_name": "seed",
            "input_config": [
                "INT",
                {"default": 0, "min": 0, "max": 18446744073709551615, "control_after_generate": True},
            ],
            "received_value": 18446744073709551616,
        },
    }


def test_a_value_below_the_minimum(catalog: NodeCatalog) -> None:
    error = only_error(validate_prompt(catalog, with_input("3", steps=0), None), "3")
    assert (error["type"], error["message"]) == ("value_smaller_than_min", "Value 0 smaller than min of 1")


def test_a_value_that_cannot_be_converted(catalog: NodeCatalog) -> None:
    error = only_error(validate_prompt(catalog, with_input("3", steps="many"), None), "3")
    assert error["type"] == "invalid_input_type"
    assert error["message"] == "Failed to convert an input value to a INT value"
    assert error["details"].startswith("steps, many, invalid literal for int()")


def test_a_missing_input(catalog: NodeCatalog) -> None:
    graph = sd15()
    del graph["3"]["inputs"]["model"]
    assert only_error(validate_prompt(catalog, graph, None), "3") == {
        "type": "required_input_missing",
        "message": "Required input is missing",
        "details": "model",
        "extra_info": {"input_name": "model"},
    }


def test_a_missing_model_lists_what_there_is(catalog: NodeCatalog) -> None:
    error = only_error(validate_prompt(catalog, with_input("4", ckpt_name="x.ckpt"), None), "4")
    names = ["sd15.safetensors", "sub/other.safetensors"]
    assert (error["type"], error["details"]) == ("value_not_in_list", f"ckpt_name: 'x.ckpt' not in {names}")
    assert error["extra_info"]["input_config"] == [names]


def test_a_long_list_is_not_repeated(catalog: NodeCatalog) -> None:
    error = only_error(validate_prompt(catalog, with_input("3", sampler_name="magic"), None), "3")
    assert error["details"] == "sampler_name: 'magic' not in (list of length 42)"
    assert error["extra_info"]["input_config"] is None


def test_a_link_of_the_wrong_type(catalog: NodeCatalog) -> None:
    error = only_error(validate_prompt(catalog, with_input("3", model=["4", 1]), None), "3")
    assert error["type"] == "return_type_mismatch"
    assert error["details"] == "model, received_type(CLIP) mismatch input_type(MODEL)"
    assert error["extra_info"]["linked_node"] == ["4", 1]


def test_a_link_of_three_parts(catalog: NodeCatalog) -> None:
    error = only_error(validate_prompt(catalog, with_input("3", model=["4", 0, 0]), None), "3")
    assert error["type"] == "bad_linked_input"


@pytest.mark.parametrize(
    ("link", "details", "kind"),
    [(["99", 0], "'99'", "KeyError"), (["4", 7], "list index out of range", "IndexError")],
    ids=["node", "slot"],
)
def test_a_dangling_link_is_an_exception_in_the_inner_node(
    catalog: NodeCatalog, link: list[object], details: str, kind: str
) -> None:
    error = only_error(validate_prompt(catalog, with_input("3", model=link), None), "3")
    assert (error["type"], error["details"]) == ("exception_during_inner_validation", details)
    assert error["extra_info"]["exception_type"] == kind
    assert error["extra_info"]["input_name"] == "samples"
    assert error["extra_info"]["traceback"]


def test_a_dangling_link_at_the_output_itself(catalog: NodeCatalog) -> None:
    error = only_error(validate_prompt(catalog, with_input("9", images=["99", 0]), None), "9")
    assert (error["type"], error["message"]) == ("exception_during_validation", "Exception when validating node")


def test_a_cycle_is_refused_without_a_word(catalog: NodeCatalog) -> None:
    verdict = validate_prompt(catalog, with_input("3", latent_image=["3", 0]), None)
    assert verdict.error is not None
    assert (verdict.error["type"], verdict.error["details"]) == ("prompt_outputs_failed_validation", "")
    assert verdict.node_errors == {}


def test_a_literal_where_a_link_belongs_is_accepted(catalog: NodeCatalog) -> None:
    assert validate_prompt(catalog, with_input("3", model="a model"), None).error is None


def test_unknown_inputs_are_ignored(catalog: NodeCatalog) -> None:
    assert validate_prompt(catalog, with_input("3", unknown={"a": 1}), None).error is None


def test_the_sound_part_of_a_graph_is_accepted_with_errors(catalog: NodeCatalog) -> None:
    graph = sd15()
    graph["10"] = node("PreviewImage")
    verdict = validate_prompt(catalog, graph, None)
    assert (verdict.error, verdict.outputs, list(verdict.node_errors)) == (None, ["9"], ["10"])


def test_an_unknown_class_anywhere_is_refused(catalog: NodeCatalog) -> None:
    verdict = validate_prompt(catalog, {**sd15(), "1": node("Magic")}, None)
    assert verdict.error == {
        "type": "invalid_prompt",
        "message": "Cannot execute because node Magic does not exist.",
        "details": "Node ID '#1'",
        "extra_info": {},
    }


def test_a_node_without_a_class_is_refused(catalog: NodeCatalog) -> None:
    verdict = validate_prompt(catalog, {"1": {"inputs": {}}}, None)
    assert verdict.error is not None
    assert (verdict.error["type"], verdict.error["details"]) == ("invalid_prompt", "Node ID '#1'")


@pytest.mark.parametrize("targets", [[], ["8"], ["unknown"]])
def test_targets_that_are_no_outputs(catalog: NodeCatalog, targets: list[str]) -> None:
    verdict = validate_prompt(catalog, sd15(), targets)
    assert verdict.error is not None
    assert verdict.error["type"] == "prompt_no_outputs"


def test_an_unreached_node_is_not_checked(catalog: NodeCatalog) -> None:
    assert validate_prompt(catalog, {**sd15(), "1": node("KSampler")}, None) == Verdict(None, ["9"], {})


def test_enumerations_of_v3_classes_are_not_checked(catalog: NodeCatalog) -> None:
    graph = {"1": node("SaveVideo", video="x", filename_prefix="a", format="nonsense", codec="auto")}
    assert validate_prompt(catalog, graph, None).error is None


def test_load_image_takes_any_path_that_exists(catalog: NodeCatalog, base: Path) -> None:
    (base / "input").mkdir(exist_ok=True)
    (base / "secret.png").touch()
    graph = {"1": node("LoadImage", image="../secret.png"), "2": node("PreviewImage", images=["1", 0])}
    assert validate_prompt(catalog, graph, None).error is None


def test_load_image_of_a_missing_file(catalog: NodeCatalog) -> None:
    graph = {"1": node("LoadImage", image="no.png"), "9": node("PreviewImage", images=["1", 0])}
    error = only_error(validate_prompt(catalog, graph, None), "1")
    assert (error["type"], error["details"]) == ("custom_validation_failed", "image - Invalid image file: no.png")


@pytest.mark.parametrize(
    ("received", "wanted", "match"),
    [("A", "A", True), ("A", "B", False), ("*", "B", True), ("A", "B,A", True), ("A", ["A"], False), ("A", "*", True)],
)
def test_types(received: str, wanted: str | list[str], *, match: bool) -> None:
    assert types_match(received, wanted) is match
