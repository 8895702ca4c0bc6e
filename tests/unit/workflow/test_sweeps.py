from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.generation_sweep import GenerationSweepSpec
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.sweeps import check_sets, digest_of, parameters_of, total_of
from tests.builders import sweep, template_spec
from tests.conftest import ROOT

TEMPLATE = WorkflowTemplateSpec.model_validate(template_spec())


def axis(parameter: str, *values: Any) -> dict[str, Any]:
    return {"parameter": parameter, "values": list(values)}


def test_the_first_parameter_of_a_matrix_changes_slowest() -> None:
    spec = sweep(matrix=[axis("steps", 1, 2), axis("seed", "7", "8", "9")]).spec
    given = [parameters_of(spec, index) for index in range(total_of(spec))]
    assert [(g["steps"], g["seed"]) for g in given] == [(1, "7"), (1, "8"), (1, "9"), (2, "7"), (2, "8"), (2, "9")]
    assert {g["prompt"] for g in given} == {"a lighthouse"}


def test_a_set_goes_before_what_all_jobs_share() -> None:
    spec = sweep(sets=[{"steps": 5}, {"prompt": "a fox"}]).spec
    assert total_of(spec) == 2
    assert parameters_of(spec, 0) == {"prompt": "a lighthouse", "steps": 5}
    assert parameters_of(spec, 1) == {"prompt": "a fox"}


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_a_matrix_has_every_combination_once(lengths: list[int]) -> None:
    spec = sweep(matrix=[axis(f"p{at}", *range(length)) for at, length in enumerate(lengths)]).spec
    combinations = [
        tuple(parameters_of(spec, index)[f"p{at}"] for at in range(len(lengths))) for index in range(total_of(spec))
    ]
    assert combinations == sorted(set(combinations))
    assert len(combinations) == total_of(spec)


def test_good_sets_have_no_problem() -> None:
    assert check_sets(sweep().spec, TEMPLATE) == {}


def test_a_problem_is_told_once_with_all_jobs_that_have_it() -> None:
    spec = sweep(matrix=[axis("steps", 10, 99), axis("seed", "1", "2"), axis("stlye", "x")]).spec
    problems = check_sets(spec, TEMPLATE)
    wrong_steps = next(problem for problem in problems if "steps: 99 is greater than the maximum of 60" in problem)
    unknown = next(problem for problem in problems if "unknown parameter stlye" in problem)
    assert problems == {wrong_steps: [2, 3], unknown: [0, 1, 2, 3]}


def test_what_is_missing_in_one_set_is_told_of_that_one() -> None:
    order = {"template": {"name": "t"}, "profiles": ["l4"]}
    spec = sweep(sets=[{"prompt": "a"}, {"steps": 3}], jobTemplate={"spec": order}).spec
    assert check_sets(spec, TEMPLATE) == {"parameter prompt is required; give it in spec.parameters": [1]}


def test_a_file_that_the_template_wants_is_missing_in_all() -> None:
    photo = {"name": "photo", "type": "Image", "targets": [{"node": "9", "input": "x"}]}
    template = WorkflowTemplateSpec.model_validate(template_spec(parameters=[*template_spec()["parameters"], photo]))
    problems = check_sets(sweep().spec, template)
    assert problems == {"parameter photo (Image) needs a file; give it in spec.inputs": [0, 1, 2]}


@pytest.mark.parametrize(("name", "total"), [("matrix", 12), ("sets", 3)])
def test_the_examples_fit_the_template_of_the_quickstart(name: str, total: int) -> None:
    text = (ROOT / "examples" / "quickstart" / "30-workflow-template.yaml").read_text()
    quickstart = WorkflowTemplateSpec.model_validate(yaml.safe_load(text)["spec"])
    manifest = yaml.safe_load((ROOT / "examples" / "sweep" / f"{name}.yaml").read_text())
    spec = GenerationSweepSpec.model_validate(manifest["spec"])
    assert check_sets(spec, quickstart) == {}
    assert total_of(spec) == total


@pytest.mark.parametrize(
    "change",
    [
        {"matrix": [axis("cfg", 10, 20, 30)]},
        {"matrix": [axis("steps", 10, 20, 31)]},
        {"sets": [{"steps": 10}]},
    ],
)
def test_other_parameters_have_another_digest(change: dict[str, Any]) -> None:
    assert digest_of(sweep(**change).spec) != digest_of(sweep().spec)


def test_what_may_change_does_not_change_the_digest() -> None:
    assert digest_of(sweep(parallelism=3, maxFailures=1, suspend=True).spec) == digest_of(sweep().spec)
