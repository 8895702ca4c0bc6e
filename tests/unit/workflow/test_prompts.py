import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.digest import digest
from comfyard.workflow.parameters import MAX_SEED
from comfyard.workflow.prompts import build_prompts, prompt_id
from tests.builders import UID, graph, template_spec


def prompts(seed: int = 5, count: int = 2, attempt: int = 0) -> list[Any]:
    spec = WorkflowTemplateSpec.model_validate(template_spec())
    return build_prompts(spec, {"prompt": "x", "steps": 2}, seed, uid=UID, attempt=attempt, count=count)


def test_the_id_follows_from_uid_attempt_and_index() -> None:
    assert prompts()[1].id == str(uuid.uuid5(uuid.UUID(UID), "0/1"))


@given(
    st.lists(
        st.tuples(st.uuids(), st.integers(0, 99), st.integers(0, 99)).map(lambda t: (str(t[0]), t[1], t[2])),
        unique=True,
    )
)
def test_ids_do_not_collide(keys: list[tuple[str, int, int]]) -> None:
    assert len({prompt_id(*key) for key in keys}) == len(keys)


def test_each_index_has_its_own_seed_as_a_string() -> None:
    assert [p.graph["3"]["inputs"]["seed"] for p in prompts()] == ["5", "6"]


def test_seeds_wrap_around_at_the_largest() -> None:
    assert [p.graph["3"]["inputs"]["seed"] for p in prompts(seed=MAX_SEED)] == [str(MAX_SEED), "0"]


def test_files_lie_in_a_folder_of_the_job_attempt_and_index() -> None:
    prefixes = {p.graph["9"]["inputs"]["filename_prefix"] for a in (0, 1) for p in prompts(attempt=a)}
    assert prefixes == {f"{UID}/{a}-{i}/9" for a in (0, 1) for i in (0, 1)}


def test_nodes_that_no_output_needs_are_not_sent() -> None:
    alone = {"70": {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}}
    spec = WorkflowTemplateSpec.model_validate(template_spec(graph=graph() | alone))
    [prompt] = build_prompts(spec, {"prompt": "x", "steps": 2}, 1, uid=UID, attempt=0, count=1)
    assert set(prompt.graph) == set(graph())


def test_the_template_is_not_changed() -> None:
    spec = WorkflowTemplateSpec.model_validate(template_spec())
    before = digest(spec.to_api())
    build_prompts(spec, {"prompt": "x", "steps": 2}, 1, uid=UID, attempt=0, count=1)
    assert digest(spec.to_api()) == before


@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=6))
def test_digests_do_not_depend_on_the_order_of_keys(content: dict[str, int]) -> None:
    assert digest(dict(reversed(content.items()))) == digest(content)
