"""What is kept of objects, and that what is needed of them is."""

from typing import Any

import pytest

from comfyard.api.generation_job import GenerationJob
from comfyard.api.meta import ANNOTATION_OUTPUT
from comfyard.controller.sweep_jobs import observe_child, sweep_of
from comfyard.kube.kinds import GENERATION_JOB, NAMESPACE, POD
from comfyard.runtime.trimming import is_over, lacks_outputs, trim
from tests.builders import meta, ready

APPLIED = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "kept"}
FIELDS = [{"manager": "x", "fieldsV1": {"f:spec": {}}}]


def job(outcome: str = "", **status: Any) -> dict[str, Any]:
    ends = [{**ready()[0], "type": outcome, "message": "1 image stored"}] if outcome else []
    owner = {"kind": "GenerationSweep", "name": "styles", "uid": "u", "controller": True}
    return {
        "metadata": meta("styles-1", managedFields=FIELDS, annotations=APPLIED, ownerReferences=[owner]),
        "spec": {
            "template": {"name": "t"},
            "profiles": ["p"],
            "parameters": {"prompt": "x" * 1000},
            "inputs": [
                {"parameter": "photo", "job": {"name": "first", "output": "image"}},
                {"parameter": "mask", "url": "https://example.com/mask.png"},
            ],
            "count": 2,
            "ttlSecondsAfterFinished": 60,
        },
        "status": {
            "observedGeneration": 1,
            "conditions": [*ready(), *ends],
            "message": "why",
            "output": {"metadata": "Embed"},
            **status,
        },
    }


def test_an_unfinished_job_loses_only_what_nobody_reads() -> None:
    kept = trim(GENERATION_JOB, job())
    assert kept["metadata"]["annotations"] == {"mine": "kept"}
    assert "managedFields" not in kept["metadata"]
    assert (kept["spec"], kept["status"]) == (job()["spec"], job()["status"])


def test_a_finished_job_is_small_and_still_a_job_of_its_sweep() -> None:
    kept = trim(GENERATION_JOB, job("Failed", receipt={"template": "t"}, outputs=[]))
    assert kept["spec"].keys() == {"template", "profiles", "inputs", "count", "ttlSecondsAfterFinished"}
    assert [given["parameter"] for given in kept["spec"]["inputs"]] == ["photo"]
    assert kept["status"].keys() == {"observedGeneration", "conditions", "message", "output"}
    assert len(str(kept)) < len(str(job("Failed"))) / 2
    assert sweep_of(kept) == "styles"
    assert observe_child(kept) == observe_child(job("Failed"))
    assert GenerationJob.model_validate(kept).is_finished()


@pytest.mark.parametrize("outcome", ["Complete", "Failed"])
def test_what_a_finished_job_has_made_is_kept_for_those_who_take_it(outcome: str) -> None:
    made = [{"name": "image", "index": 0}]
    assert lacks_outputs(trim(GENERATION_JOB, job(outcome, outputs=made)))
    kept = trim(GENERATION_JOB, job(outcome, outputs=made), with_outputs=True)
    assert not lacks_outputs(kept)
    assert kept["status"]["outputs"] == made
    assert not lacks_outputs(trim(GENERATION_JOB, job(outcome), with_outputs=True))


def test_trimming_twice_is_trimming_once() -> None:
    for whole in (job(), job("Complete"), job("Failed")):
        once = trim(GENERATION_JOB, whole)
        assert trim(GENERATION_JOB, once) == once


def test_a_condition_that_is_not_true_is_no_end() -> None:
    assert is_over(job("Complete"))
    assert not is_over(job())
    assert not is_over({"metadata": {}, "status": {"conditions": [{"type": "Failed", "status": "False"}]}})
    assert not is_over({"metadata": {}})


def test_little_is_kept_of_namespaces() -> None:
    annotations = {"a": "b", ANNOTATION_OUTPUT: "{}"}
    metadata = {"name": "studio", "resourceVersion": "1", "labels": {"team": "a"}, "managedFields": FIELDS}
    whole = {"metadata": {**metadata, "annotations": annotations}, "spec": {"finalizers": ["kubernetes"]}}
    kept = {"name": "studio", "resourceVersion": "1", "labels": {"team": "a"}, "annotations": {ANNOTATION_OUTPUT: "{}"}}
    assert trim(NAMESPACE, whole) == {"metadata": kept}


def test_other_objects_stay_whole_but_for_who_owns_which_field() -> None:
    pod = {"metadata": meta("s", managedFields=FIELDS), "spec": {"containers": []}}
    assert trim(POD, pod) == {"metadata": meta("s"), "spec": {"containers": []}}
