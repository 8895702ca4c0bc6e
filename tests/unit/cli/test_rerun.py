"""What makes a second job render what the first has rendered, and what is said when it cannot."""

from typing import Any

import pytest

from comfyard.api.generation_job import GenerationJob, Receipt, ReceiptModel, ReceiptNode
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.cli.rerunning import (
    check_template,
    embeds,
    file_differences,
    image_difference,
    model_differences,
    node_differences,
    profile_of,
    receipt_differences,
    receipt_of,
    same_order,
)
from comfyard.cli.session import UsageError
from comfyard.workflow.parameters import given_seed, resolve
from tests.builders import SHA, job, profile, ready, template, template_spec

OTHER = "b" * 64
SEED = str(2**64 - 1)
IMAGE = f"ghcr.io/x/comfyui@sha256:{SHA}"
RECEIPT: dict[str, Any] = {
    "template": "sha256:t",
    "graph": "sha256:g",
    "models": [{"path": "checkpoints/sd15.safetensors", "sha256": SHA}],
    "inputs": [{"parameter": "photo", "sha256": SHA, "bytes": 10}],
    "nodes": [{"name": "pack", "commit": "c" * 40}],
    "server": {"image": IMAGE, "comfyui": "0.3.64", "gpu": "cuda:0 NVIDIA L4"},
}


def attempt(on: str) -> dict[str, Any]:
    times = {"start": "2026-01-02T03:04:05Z", "end": "2026-01-02T03:05:05Z"}
    return {"id": "one", "server": "s", "profile": on, "outcome": "Succeeded", **times}


def finished(status: dict[str, Any] | None = None, **spec: Any) -> GenerationJob:
    standard = {
        "conditions": [{**each, "type": "Complete"} for each in ready()],
        "state": "Complete",
        "template": {"revision": "text-to-image-1", "digest": "sha256:t"},
        "parameters": {"prompt": "a lighthouse", "steps": 20},
        "seed": SEED,
        "attempts": [attempt("l4")],
        "output": {"claim": {"name": "results"}, "metadata": "Strip"},
        "receipt": RECEIPT,
    }
    return job({**standard, **(status or {})}, **spec)


CONTENT = WorkflowTemplateSpec.model_validate(template_spec())


def test_all_that_was_drawn_or_filled_in_is_given() -> None:
    first = finished(count=3, suspend=True, ttlSecondsAfterFinished=60)
    spec = same_order(first, CONTENT)
    assert spec["parameters"] == {"prompt": "a lighthouse", "steps": 20, "seed": SEED}
    assert resolve(CONTENT, spec["parameters"]) == ({"prompt": "a lighthouse", "steps": 20}, [])
    assert given_seed(CONTENT, spec["parameters"]) == int(SEED)
    assert (spec["count"], spec["template"], spec["ttlSecondsAfterFinished"]) == (3, {"name": "text-to-image"}, 60)
    assert spec["output"] == {"claim": {"name": "results", "path": ""}, "metadata": "Strip"}
    assert "suspend" not in spec


def test_a_template_without_a_seed_gets_none() -> None:
    parameters = [p for p in template_spec()["parameters"] if p["type"] != "Seed"]
    content = WorkflowTemplateSpec.model_validate(template_spec(parameters=parameters))
    assert same_order(finished(), content)["parameters"] == {"prompt": "a lighthouse", "steps": 20}


def test_the_profile_that_has_rendered_goes_first() -> None:
    first = finished({"attempts": [attempt("l4"), attempt("a100")]}, profiles=["l4", "a100"])
    assert profile_of(first) == "a100"
    assert same_order(first, CONTENT)["profiles"] == ["a100", "l4"]


def test_files_must_be_what_they_were() -> None:
    photo = {"parameter": "photo", "url": "https://host/a.png"}
    sketch = {"parameter": "sketch", "claim": {"name": "c", "path": "b.png"}, "sha256": OTHER}
    assert same_order(finished(inputs=[photo, sketch]), CONTENT)["inputs"] == [{**photo, "sha256": SHA}, sketch]


def test_a_job_without_a_receipt_cannot_be_repeated() -> None:
    assert receipt_of(finished()) == Receipt.model_validate(RECEIPT)
    with pytest.raises(UsageError, match="job lighthouse has no receipt: it was given to no server"):
        receipt_of(finished({"receipt": None}))
    with pytest.raises(UsageError, match="job lighthouse is Running, not finished; wait for it"):
        receipt_of(job({"state": "Running", "receipt": RECEIPT}))


def test_a_template_that_has_changed_is_told_with_the_way_back() -> None:
    first, receipt = finished(), Receipt.model_validate(RECEIPT)
    check_template(first, receipt, template())
    changed = template({"observedGeneration": 1, "conditions": ready(), "digest": "sha256:new", "revision": "t-2"})
    with pytest.raises(UsageError) as caught:
        check_template(first, receipt, changed)
    assert str(caught.value) == (
        "template text-to-image has changed since: its digest was sha256:t and is sha256:new. Apply it as it was "
        "(kubectl -n studio get controllerrevision text-to-image-1 -o jsonpath='{.data.spec}' shows that, as long as "
        "it is kept), or order from it as it is with --latest"
    )
    unobserved = template({"observedGeneration": 0, "digest": "sha256:t"})
    with pytest.raises(UsageError, match="template text-to-image is being checked; try again"):
        check_template(first, receipt, unobserved)


def test_a_model_that_has_changed_is_told_with_both_digests() -> None:
    was = [ReceiptModel(path="checkpoints/a", sha256=SHA), ReceiptModel(path="loras/b", sha256=SHA)]
    now = [ReceiptModel(path="loras/b", sha256=OTHER), ReceiptModel(path="vae/c", sha256=SHA)]
    assert list(model_differences(was, now)) == [
        f"checkpoints/a was sha256 {SHA} and is nothing",
        f"loras/b was sha256 {SHA} and is sha256 {OTHER}",
        f"vae/c was nothing and is sha256 {SHA}",
    ]
    assert list(model_differences(was, reversed(was))) == []


def test_custom_nodes_are_told_by_commit() -> None:
    was, now = (ReceiptNode(name="pack", commit=letter * 40, tree="t") for letter in "cd")
    assert list(node_differences([was], [now])) == [f"custom node pack was commit {'c' * 40} and is commit {'d' * 40}"]


@pytest.mark.parametrize(
    ("image", "differs"),
    [
        (IMAGE, False),
        (f"mirror.example/comfyui@sha256:{SHA}", False),
        (f"ghcr.io/x/comfyui@sha256:{OTHER}", True),
        ("ghcr.io/x/comfyui:latest", False),
    ],
)
def test_an_image_is_another_when_its_digest_is(image: str, differs: bool) -> None:  # noqa: FBT001
    found = list(image_difference(Receipt.model_validate(RECEIPT), profile(server={"image": image})))
    assert found == ([f"the server's image was {IMAGE} and is {image}"] if differs else [])


def test_equal_receipts_have_no_differences() -> None:
    receipt = Receipt.model_validate(RECEIPT)
    assert list(receipt_differences(receipt, receipt)) == []


def test_receipts_differ_in_what_both_tell() -> None:
    changed = {
        **RECEIPT,
        "graph": "",
        "models": [{"path": "checkpoints/sd15.safetensors", "sha256": OTHER}],
        "inputs": [{"parameter": "photo", "sha256": OTHER, "bytes": 10}],
        "server": {"image": IMAGE, "comfyui": "0.3.65", "gpu": ""},
    }
    assert list(receipt_differences(Receipt.model_validate(RECEIPT), Receipt.model_validate(changed))) == [
        f"checkpoints/sd15.safetensors was sha256 {SHA} and is sha256 {OTHER}",
        f"input photo was sha256 {SHA} and is sha256 {OTHER}",
        "ComfyUI was 0.3.64 and is 0.3.65",
    ]


def rendered(*digests: str) -> GenerationJob:
    outputs = [
        {
            "name": "image",
            "index": index,
            "uri": f"claim://results/studio/{id(digests)}/image-{index:03}.png",
            "sha256": sha256,
            "bytes": 1,
            "contentType": "image/png",
        }
        for index, sha256 in enumerate(digests)
    ]
    return finished({"outputs": outputs})


def test_whether_files_can_be_compared() -> None:
    assert embeds(finished({"output": {"metadata": "Embed"}}))
    assert embeds(finished({"output": None}))
    assert not embeds(finished({"output": {"metadata": "Strip"}}))


def test_files_are_compared_by_what_they_are_called() -> None:
    assert file_differences(rendered(SHA, OTHER), rendered(SHA, OTHER)) == []
    assert file_differences(rendered(SHA, OTHER), rendered(SHA, SHA)) == ["image-001.png"]
    assert file_differences(rendered(SHA, OTHER), rendered(SHA)) == ["image-001.png"]
