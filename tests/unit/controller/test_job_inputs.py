"""Files from elsewhere in the namespace: claims that must be there, jobs that must be Complete."""

from typing import Any

import pytest

from comfyard.api.generation_job import GenerationJob
from comfyard.controller.job_observed import Observed
from comfyard.controller.jobs import Plan
from tests.builders import job, template
from tests.unit.controller.planning import done, observed, plan, reason, words
from tests.unit.controller.test_job_acceptance import with_photo

CLAIMS = frozenset({"results", "photos"})
ABSENT = (
    'generationjobs.comfyard.io "first" (input of parameter photo) is not in namespace "studio"; create it, or order '
    "again with another input"
)


def order(name: str = "second", **source: Any) -> GenerationJob:
    """A job that takes its picture from somewhere."""
    return job(metadata={"name": name}, inputs=[{"parameter": "photo", **source}])


def after(name: str, takes_from: str = "first", index: int = 0, **more: Any) -> GenerationJob:
    """A job that takes its picture from another job."""
    source = {"name": takes_from, "output": "image", "index": index}
    return job(metadata={"name": name}, inputs=[{"parameter": "photo", "job": source}], **more)


def seen(*others: GenerationJob, claims: frozenset[str] = CLAIMS) -> Observed:
    jobs = {other.metadata.name: other for other in others}
    return observed(template=template(**with_photo()), jobs=jobs, claims=claims)


def claims_of(result: Plan) -> tuple[str, ...]:
    assert result.demand, words(result)
    return result.demand.pool.input_claims


@pytest.mark.parametrize(
    "source",
    [
        {"url": "http://host/a.png"},
        {"s3": {"bucket": "b", "key": "a.png", "secretRef": {"name": "keys"}}},
    ],
)
def test_what_is_fetched_needs_no_claim(source: dict[str, Any]) -> None:
    assert claims_of(plan(order(**source), seen())) == ()


def test_a_claim_is_mounted() -> None:
    source: dict[str, Any] = {"claim": {"name": "photos", "path": "a.png"}}
    assert claims_of(plan(order(**source), seen())) == ("photos",)


def test_a_claim_that_is_not_there_is_waited_for() -> None:
    result = plan(order(claim={"name": "fotos", "path": "a.png"}), seen())
    assert (words(result)[0], reason(result)) == ("Pending", "ClaimNotFound")
    assert words(result)[1] == 'PersistentVolumeClaim "fotos" (input of parameter photo) does not exist; create it'


def test_a_result_on_the_claim_for_results_needs_no_other_servers() -> None:
    result = plan(after("second"), seen(done()))
    assert claims_of(result) == ()
    plain = plan(order(url="http://host/a.png"), seen())
    assert result.demand
    assert plain.demand
    assert result.demand.pool == plain.demand.pool


def test_a_result_on_another_claim_is_mounted() -> None:
    other = done(outputs=[{"name": "image", "uri": "claim://photos/studio/first-3c8f8a54/image-000.png"}])
    assert claims_of(plan(after("second"), seen(other))) == ("photos",)
    gone = plan(after("second"), seen(other, claims=frozenset({"results"})))
    assert reason(gone) == "ClaimNotFound"
    assert '"photos" (input of parameter photo, of job first) does not exist' in words(gone)[1]


def test_a_result_in_s3_is_fetched() -> None:
    other = done(outputs=[{"name": "image", "uri": "s3://bucket/studio/first/image-000.png"}])
    assert claims_of(plan(after("second"), seen(other))) == ()


@pytest.mark.parametrize(
    ("others", "why", "message"),
    [
        (
            [],
            "JobNotFound",
            ABSENT,
        ),
        (
            [job(metadata={"name": "first", "deletionTimestamp": "2026-01-02T03:04:00Z"})],
            "JobNotFound",
            ABSENT,
        ),
        (
            [job(metadata={"name": "first"})],
            "InputNotReady",
            "waits for job first to complete (input of parameter photo)",
        ),
        (
            [job(metadata={"name": "first"}, suspend=True)],
            "InputNotReady",
            "waits for job first to complete (input of parameter photo), which is suspended",
        ),
    ],
)
def test_a_job_is_waited_for(others: list[GenerationJob], why: str, message: str) -> None:
    result = plan(after("second"), seen(*others))
    assert result.demand is None
    assert (*words(result), reason(result)) == ("Pending", message, why)
    assert result.status["template"]["revision"] == "t-1"  # accepted, whatever becomes of the template meanwhile


def failed() -> GenerationJob:
    bad = job(metadata={"name": "first"}, parameters={})
    status = plan(bad, observed(template=template())).status
    return job(status, {"name": "first"}, parameters={})


@pytest.mark.parametrize(
    ("other", "index", "message"),
    [
        (
            failed(),
            0,
            (
                "job first (input of parameter photo) has failed: parameter prompt is required; give it in "
                "spec.parameters (spec is immutable: correct it in a new job); order both again"
            ),
        ),
        (
            job(metadata={"name": "first"}, count=2),
            2,
            "job first (input of parameter photo) has no index 2, its count is 2; order again with a smaller index",
        ),
        (
            done(outputs=[{"name": "mask", "uri": "s3://b/m.png"}, {"name": "image", "uri": "s3://b/i", "index": 1}]),
            0,
            (
                "job first (input of parameter photo) made no image 0; it made: mask 0, image 1; order again with one "
                "of these"
            ),
        ),
    ],
)
def test_what_will_never_come_fails_the_job(other: GenerationJob, index: int, message: str) -> None:
    result = plan(after("second", index=index), seen(other))
    assert (*words(result), reason(result)) == ("Failed", message, "InputFailed")


def test_a_failure_goes_on_to_all_that_wait_for_it() -> None:
    first, second, third = failed(), after("second"), after("third", "second")
    ended = job(plan(second, seen(first)).status, {"name": "second"}, inputs=second.to_api()["spec"]["inputs"])
    result = plan(third, seen(first, ended))
    assert reason(result) == "InputFailed"
    assert words(result)[1].startswith("job second (input of parameter photo) has failed: job first (input of")


def test_jobs_that_wait_for_each_other_fail() -> None:
    ring = {name: after(name, before) for name, before in (("a", "b"), ("b", "c"), ("c", "a"))}
    texts = {}
    for name, each in ring.items():
        result = plan(each, seen(*ring.values()))
        assert (words(result)[0], reason(result)) == ("Failed", "InputCycle")
        texts[name] = words(result)[1]
    assert texts["a"] == (
        "jobs wait for each other's results: a takes from b takes from c takes from a; order them again without the "
        "circle"
    )
    assert reason(plan(after("own", "own"), seen(after("own", "own")))) == "InputCycle"


def test_who_waits_for_a_circle_is_in_none() -> None:
    ring = [after("b", "c"), after("c", "b")]
    assert reason(plan(after("a", "b"), seen(*ring))) == "InputNotReady"


def test_a_name_that_is_used_again_makes_no_circle() -> None:
    """The first one is Complete; what it took its input from had the name that now takes from it."""
    first = done("first", inputs=[{"parameter": "photo", "job": {"name": "second", "output": "image"}}])
    second = after("second", "first")
    assert claims_of(plan(second, seen(first, second))) == ()


def test_a_job_that_is_gone_at_a_retry_is_waited_for() -> None:
    accepted = plan(after("second"), seen(done())).status
    again = job(accepted, {"name": "second"}, inputs=after("second").to_api()["spec"]["inputs"])
    assert reason(plan(again, seen())) == "JobNotFound"
