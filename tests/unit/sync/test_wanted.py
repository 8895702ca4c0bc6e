from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.model_bundle import ModelBundle
from comfyard.sync.wanted import on_claim, wanted_by

A, B = "a" * 64, "b" * 64
PATH = "checkpoints/x.safetensors"


def model(sha256: str | None = None, url: str = "http://h/x", path: str = PATH) -> dict[str, Any]:
    digest = {"sha256": sha256} if sha256 else {}
    return {"path": path, "source": {"http": {"url": url}}, **digest}


def bundle(name: str, *models: dict[str, Any], status: dict[str, Any] | None = None, **meta: Any) -> ModelBundle:
    return ModelBundle.model_validate(
        {
            "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z", **meta},
            "spec": {"models": list(models) or [model()]},
            "status": status or {"claimName": "models"},
        }
    )


def test_only_bundles_of_the_claim_that_stay() -> None:
    found = on_claim(
        [
            bundle("b"),
            bundle("a"),
            bundle("old", creationTimestamp="2025-01-01T00:00:00Z"),
            bundle("elsewhere", status={"claimName": "other"}),
            bundle("new", status={"observedGeneration": -1}),
            bundle("going", deletionTimestamp="2026-01-02T00:00:00Z"),
        ],
        "models",
    )
    assert [b.metadata.name for b in found] == ["old", "a", "b"]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (model(A), model(A)),
        (model(A), model(A, "http://mirror/x")),
        (model(), model()),
        (model(), model(A)),
    ],
)
def test_what_agrees_is_one_file(one: dict[str, Any], two: dict[str, Any]) -> None:
    wanted = wanted_by([bundle("one", one), bundle("two", two)])
    assert wanted.conflicts == {}
    assert wanted.files[PATH].sha256 == (one.get("sha256") or two.get("sha256"))
    assert wanted.files[PATH].source == bundle("any").spec.models[0].source


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (model(A), model(B)),
        (model(), model(None, "http://mirror/x")),
        (model(), model(A, "http://mirror/x")),
    ],
)
def test_what_does_not_agree_is_told_to_both(one: dict[str, Any], two: dict[str, Any]) -> None:
    other = model(A, path="loras/y.safetensors")
    wanted = wanted_by([bundle("one", one, other), bundle("two", two)])
    assert list(wanted.files) == ["loras/y.safetensors"]
    assert "one (" in wanted.conflicts[PATH]
    assert "two (" in wanted.conflicts[PATH]


def test_a_file_is_not_a_folder() -> None:
    wanted = wanted_by([bundle("one", model(A, path="loras/a")), bundle("two", model(B, path="loras/a/b"))])
    assert wanted.files == {}
    assert "one" in wanted.conflicts["loras/a/b"]
    assert "two" in wanted.conflicts["loras/a"]


@given(st.lists(st.tuples(st.sampled_from("pqr"), st.sampled_from([A, B, None]), st.sampled_from("xyz")), max_size=6))
def test_every_path_is_a_file_or_a_conflict_and_order_does_not_matter(
    choices: list[tuple[str, str | None, str]],
) -> None:
    bundles = [
        bundle(f"b{number}", model(digest, f"http://h/{url}", f"loras/{path}"))
        for number, (path, digest, url) in enumerate(choices)
    ]
    wanted = wanted_by(bundles)
    assert {f"loras/{path}" for path, _, _ in choices} == wanted.files.keys() | wanted.conflicts.keys()
    assert not wanted.files.keys() & wanted.conflicts.keys()
    assert wanted_by(reversed(bundles)).conflicts.keys() == wanted.conflicts.keys()
    for path, want in wanted.files.items():
        digests = {digest for p, digest, _ in choices if f"loras/{p}" == path and digest}
        assert digests <= {want.sha256}
