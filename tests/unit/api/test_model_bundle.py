from datetime import UTC, datetime

import pytest

from tests.builders import SHA, bundle, profile

LORA = {"path": "loras/a", "source": {"existing": {}}, "sha256": SHA}
VERIFIED = {"verifiedTime": "2026-01-02T03:04:05Z"}


def test_what_is_skipped_or_deleted_is_not_wanted() -> None:
    models = [LORA, {**LORA, "path": "loras/b"}]
    nodes = [{"name": "pack", "git": {"url": "https://host/p", "commit": "c" * 40}}]
    found = bundle(status={"skipped": ["loras/a"]}, models=models, customNodes=nodes)
    assert [m.path for m in found.wanted_models()] == ["loras/b"]
    assert [n.name for n in found.wanted_nodes()] == ["pack"]
    gone = bundle(metadata={"deletionTimestamp": "2026-01-02T03:04:05Z"}, models=models, customNodes=nodes)
    assert (gone.wanted_models(), gone.wanted_nodes()) == ([], [])


def test_it_is_observed_when_the_operator_has_seen_this_generation() -> None:
    assert bundle(status={"observedGeneration": 1}).is_observed()
    assert not bundle(status={"observedGeneration": 1}, metadata={"generation": 2}).is_observed()


def test_files_are_due_again_some_time_after_they_were_read() -> None:
    due = bundle(status=VERIFIED, verifyEverySeconds=60).verification_due()
    assert due == datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC)
    assert bundle(status=VERIFIED, verifyEverySeconds=0).verification_due() is None
    assert bundle(status={}).verification_due() is None


@pytest.mark.parametrize(
    ("selection", "tags", "wanted"),
    [
        ({}, [], True),
        ({}, ["High"], True),
        ({"includeTags": ["High"]}, [], True),
        ({"includeTags": ["High", "Mid"]}, ["Mid"], True),
        ({"includeTags": ["High"]}, ["Low"], False),
        ({"excludeTags": ["fp8"]}, ["Mid", "fp8"], False),
        ({"includeTags": ["Mid"], "excludeTags": ["fp8"]}, ["Mid", "fp8"], False),
    ],
)
def test_hardware_chooses_by_tags(selection: dict[str, list[str]], tags: list[str], *, wanted: bool) -> None:
    assert profile(models=selection).spec.models.wants(tags) is wanted
