"""The digest of what was rendered."""

from copy import deepcopy
from typing import Any

import pytest

from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.prompts import build_prompts
from comfyard.workflow.receipts import graph_digest, neutral
from tests.builders import UID, template_spec

OTHER_UID = "9a6c0f0e-8d14-4f0a-b6a8-6f5c1f2d3e4b"


def spec() -> WorkflowTemplateSpec:
    found = template_spec()
    found["graph"]["5"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["20", 0], "vae": ["4", 2]}}
    found["graph"]["20"] = {"class_type": "LoadImage", "inputs": {"image": "{{photo}}"}}
    found["parameters"].append({"name": "photo", "type": "Image", "required": True})
    return WorkflowTemplateSpec.model_validate(found)


def digest(uid: str = UID, suffix: str = ".png", seed: int = 5, count: int = 2, attempt: int = 0, **values: Any) -> str:
    file = f"{uid}/photo{suffix}"
    given = {"prompt": "a lamp", "steps": 20, "photo": file, **values}
    prompts = build_prompts(spec(), given, seed, uid=uid, attempt=attempt, count=count)
    return graph_digest([prompt.graph for prompt in prompts], {file: "photo"})


@pytest.mark.parametrize("how", [{"uid": OTHER_UID}, {"attempt": 3}, {"suffix": ".jpeg"}])
def test_what_only_keeps_jobs_apart_does_not_count(how: dict[str, Any]) -> None:
    assert digest(**how) == digest()


@pytest.mark.parametrize("how", [{"seed": 6}, {"count": 3}, {"steps": 21}, {"prompt": "a lamp "}])
def test_everything_else_counts(how: dict[str, Any]) -> None:
    assert digest(**how) != digest()


def test_the_order_of_keys_and_the_words_of_the_editor_do_not_count() -> None:
    graph = {"9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "quality": 1}}}
    other = {"9": {"_meta": {"title": "Save"}, "inputs": {"quality": 1, "images": ["8", 0]}, "class_type": "SaveImage"}}
    assert graph_digest([graph], {}) == graph_digest([other], {})


def test_a_file_is_known_inside_of_texts_and_lists_too() -> None:
    node = {"class_type": "A", "inputs": {"paths": ["uid/photo.png", {"a": "x uid/photo.png"}], "n": 1}}
    before = deepcopy(node)
    assert neutral(node, {"uid/photo.png": "photo"}) == {
        "class_type": "A",
        "inputs": {"paths": ["{{photo}}", {"a": "x {{photo}}"}], "n": 1},
    }
    assert node == before
