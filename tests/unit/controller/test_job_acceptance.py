"""What is fixed when a job is accepted, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

from comfyard.api.conditions import is_true
from comfyard.api.generation_job import GenerationJob
from tests.builders import job, ready, template, template_spec
from tests.unit.controller.planning import observed, plan, reason, words


def after(status: dict[str, Any]) -> GenerationJob:
    return job(status=status)


def test_the_drawn_seed_is_the_same_when_asked_again() -> None:
    seen = observed(template=template())
    assert plan(job(), seen).status["seed"] == plan(job(), seen).status["seed"]


def test_a_given_seed_is_kept_as_a_string() -> None:
    order = job(parameters={"prompt": "x", "seed": 7})
    assert plan(order, observed(template=template())).status["seed"] == "7"


def test_wrong_parameters_fail_at_once_and_say_what_is_known() -> None:
    result = plan(job(parameters={"promt": "x"}), observed(template=template()))
    ended = after(result.status)
    assert ended.is_finished()
    assert is_true(ended.status.conditions, "Stalled")
    assert "unknown parameter promt; the template has: prompt, seed, steps" in ended.status.message
    assert "parameter prompt is required" in ended.status.message


def test_an_unknown_output_claim_is_waited_for() -> None:
    order = job(output={"claim": {"name": "gone"}})
    assert 'PersistentVolumeClaim "gone"' in words(plan(order, observed(template=template())))[1]
    assert plan(order, observed(template=template(), claims=frozenset({"gone"}))).demand


def test_a_deleted_template_does_not_stop_an_accepted_job() -> None:
    accepted = plan(job(), observed(template=template())).status
    assert plan(job(status=accepted), observed(template=None)).demand


def test_a_changed_template_does_not_change_an_accepted_job() -> None:
    accepted = plan(job(), observed(template=template())).status
    changed = template(status={"observedGeneration": 1, "conditions": ready(), "revision": "t-2", "digest": "sha256:u"})
    assert plan(job(status=accepted), observed(template=changed)).status["template"]["revision"] == "t-1"


def test_a_job_that_waits_for_its_bundle_is_accepted_all_the_same() -> None:
    accepted = plan(job(), observed(template=template(), bundles={})).status
    assert (accepted["state"], accepted["template"]["revision"]) == ("Pending", "t-1")
    changed = template(status={"observedGeneration": 1, "conditions": ready(), "revision": "t-2", "digest": "sha256:u"})
    assert plan(job(accepted), observed(template=changed)).status["template"]["revision"] == "t-1"


def test_a_template_whose_content_is_not_kept_yet_is_waited_for() -> None:
    seen = observed(template=template())
    result = plan(job(), replace(seen, content=None))
    assert (reason(result), words(result)[1]) == (
        "TemplateNotReady",
        "template text-to-image: its content t-1 is being kept",
    )


def test_accepted_content_that_was_deleted_ends_the_job() -> None:
    accepted = plan(job(), observed(template=template())).status
    result = plan(job(accepted), replace(observed(), content=None))
    assert (reason(result), words(result)[0]) == ("RevisionNotFound", "Failed")


def with_photo() -> dict[str, Any]:
    """A template that takes a picture."""
    spec = template_spec()
    spec["graph"]["10"] = {"class_type": "LoadImage", "inputs": {"image": "{{photo}}"}}
    spec["graph"]["9"]["inputs"]["images"] = ["10", 0]
    return {**spec, "parameters": [*spec["parameters"], {"name": "photo", "type": "Image", "required": True}]}


@pytest.mark.parametrize(
    ("order", "part"),
    [
        ({}, "parameter photo (Image) needs a file; give it in spec.inputs"),
        (
            {"inputs": [{"parameter": "foto", "url": "http://h/a.png"}]},
            "input foto: the template has no such parameter",
        ),
        ({"inputs": [{"parameter": "steps", "url": "http://h/a.png"}]}, "input steps: is a Integer, not a file"),
        (
            {"parameters": {"prompt": "x", "photo": "a.png"}},
            "parameter photo is a file (Image): give it in spec.inputs",
        ),
    ],
)
def test_files_are_given_for_the_parameters_that_are_files(order: dict[str, Any], part: str) -> None:
    result = plan(job(**order), observed(template=template(**with_photo())))
    assert (words(result)[0], reason(result)) == ("Failed", "InvalidParameters")
    assert part in words(result)[1]
    assert result.demand is None


def test_a_file_is_no_value() -> None:
    order = job(inputs=[{"parameter": "photo", "url": "http://host/a.png"}])
    result = plan(order, observed(template=template(**with_photo())))
    assert result.demand
    assert result.status["parameters"] == {"prompt": "a lighthouse", "steps": 20}


S3 = {"s3": {"bucket": "b", "secretRef": {"name": "keys"}, "prefix": "", "region": "us-east-1"}}
CLAIM = {"claim": {"name": "mine", "path": ""}}
OTHER = '{"claim": {"name": "other"}, "metadata": "Strip"}'


@pytest.mark.parametrize(
    ("order", "of_template", "annotation", "decided"),
    [
        (None, None, None, {"metadata": "Embed"}),
        (S3, CLAIM, OTHER, {**S3, "metadata": "Strip"}),
        (None, CLAIM, OTHER, {**CLAIM, "metadata": "Strip"}),
        (None, None, OTHER, {"claim": {"name": "other", "path": ""}, "metadata": "Strip"}),
        ({"metadata": "Strip"}, S3, None, {**S3, "metadata": "Strip"}),
        ({**CLAIM, "metadata": "Embed"}, None, OTHER, {**CLAIM, "metadata": "Embed"}),
        ({"metadata": "Embed"}, {**CLAIM, "metadata": "Strip"}, None, {**CLAIM, "metadata": "Embed"}),
        ({}, {}, None, {"metadata": "Embed"}),
    ],
)
def test_where_results_go_is_said_by_the_first_who_says_it(
    order: dict[str, Any] | None, of_template: dict[str, Any] | None, annotation: str | None, decided: dict[str, Any]
) -> None:
    seen = observed(
        template=template(output=of_template), output_annotation=annotation, claims=frozenset({"mine", "other"})
    )
    result = plan(job(output=order), seen)
    assert result.status["output"] == decided
    assert result.demand
    claim = "" if "s3" in decided else decided.get("claim", {}).get("name", "results")
    assert result.demand.pool.results_claim == claim


def test_where_results_go_is_fixed_once() -> None:
    accepted = plan(job(), observed(template=template())).status
    changed = observed(template=template(output=S3), output_annotation=OTHER)
    assert plan(job(accepted), changed).status["output"] == {"metadata": "Embed"}


@pytest.mark.parametrize("annotation", ["results", "[]", '{"clam": {"name": "x"}}', '{"claim": {"name": "X"}}'])
def test_an_annotation_that_says_nothing_is_waited_out_and_told(annotation: str) -> None:
    result = plan(job(), observed(template=template(), output_annotation=annotation))
    assert (words(result)[0], reason(result)) == ("Pending", "InvalidOutputAnnotation")
    message = words(result)[1]
    assert message.startswith("annotation comfyard.io/output of namespace studio says no place for results: ")
    assert message.endswith('; correct it, such as to {"claim": {"name": "results"}}, or remove it')


def test_a_bad_annotation_is_not_asked_when_everything_is_said() -> None:
    order = job(output={**CLAIM, "metadata": "Embed"})
    assert plan(order, observed(template=template(), output_annotation="?", claims=frozenset({"mine"}))).demand
