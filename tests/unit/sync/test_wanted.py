from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.model_bundle import ModelBundle
from comfyard.sync.wanted import Removal, wanted_by
from tests.unit.sync.bundles import PATH, A, B, bundle, model, node, ready

GOING = {"deletionTimestamp": "2026-01-02T00:00:00Z"}


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
    want = wanted.files[PATH].want
    assert want.sha256 == (one.get("sha256") or two.get("sha256"))
    assert want.source == bundle("any", model()).spec.models[0].source


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
    assert {want.path for want in wanted.wants} == {PATH, "loras/y.safetensors"}


def test_a_file_is_not_a_folder() -> None:
    wanted = wanted_by([bundle("one", model(A, path="loras/a")), bundle("two", model(B, path="loras/a/b"))])
    assert wanted.files == {}
    assert "one" in wanted.conflicts["loras/a/b"]
    assert "two" in wanted.conflicts["loras/a"]


def test_what_no_hardware_wants_is_not_wanted() -> None:
    wanted = wanted_by([bundle("one", model(A), model(B, path="loras/y"), status={"skipped": [PATH]})])
    assert list(wanted.files) == ["loras/y"]


def test_a_file_is_fetched_if_one_bundle_that_wants_it_is_not_suspended() -> None:
    paused = bundle("paused", model(A), suspend=True)
    assert not wanted_by([paused]).files[PATH].fetch
    assert wanted_by([paused, bundle("going-on", model(A))]).files[PATH].fetch


def test_one_bundle_that_takes_a_pickle_is_enough_to_fetch_it() -> None:
    careful, other = bundle("careful", model(A)), bundle("other", model(A, allowPickle=True))
    assert not wanted_by([careful]).files[PATH].want.allow_pickle
    assert wanted_by([careful, other]).files[PATH].want.allow_pickle


def test_the_shortest_time_between_verifications_counts_and_0_is_never() -> None:
    every = [bundle(f"b{seconds}", model(A), verifyEverySeconds=seconds) for seconds in (0, 500, 90)]
    assert wanted_by(every).files[PATH].verify_every == 90
    assert wanted_by(every[:1]).files[PATH].verify_every == 0


def test_what_a_bundle_with_policy_delete_does_not_list_any_more_goes() -> None:
    rows = {"models": [ready("loras/a"), ready("loras/b"), {"path": "loras/never", "state": "Pending"}]}
    changed = bundle("changed", model(A, path="loras/a"), deletionPolicy="Delete", status=rows)
    assert wanted_by([changed]).removals == (Removal("changed", "loras/b", A),)


def test_what_hardware_does_not_want_any_more_goes_too() -> None:
    changed = bundle("b", model(A), deletionPolicy="Delete", status={"models": [ready()], "skipped": [PATH]})
    assert wanted_by([changed]).removals == (Removal("b", PATH, A),)


def test_the_default_policy_keeps_everything() -> None:
    assert wanted_by([bundle("b", meta=GOING, status={"models": [ready()]})]).removals == ()


@pytest.mark.parametrize("suspend", [True, False])
def test_what_another_bundle_wants_stays(*, suspend: bool) -> None:
    going = bundle("going", meta=GOING, deletionPolicy="Delete", status={"models": [ready()]})
    assert wanted_by([going]).removals == (Removal("going", PATH, A),)
    assert wanted_by([going, bundle("other", model(A), suspend=suspend)]).removals == ()
    assert wanted_by([going, bundle("other", model(B)), bundle("third", model(A))]).removals == ()


def test_nothing_is_removed_before_every_bundle_is_known() -> None:
    going = bundle("going", meta=GOING, deletionPolicy="Delete", status={"models": [ready()]})
    wanted = wanted_by([going], ["new"])
    assert wanted.held
    [removal] = wanted.removals
    assert (removal.held, removal.message) == ("Removing", "it is removed when it is known what new needs")


def test_nothing_that_jobs_run_with_is_removed_or_replaced() -> None:
    rows = {"models": [ready("loras/a"), ready("loras/b")], "inUse": True}
    used = bundle("used", model(B, path="loras/a"), model(A, path="loras/new"), deletionPolicy="Delete", status=rows)
    also = bundle("also", deletionPolicy="Delete", status={"models": [ready("loras/b")]})
    wanted = wanted_by([used, also])
    assert {removal.uid: removal.held for removal in wanted.removals} == {"used": "InUse", "also": "InUse"}
    assert {path: need.replace for path, need in wanted.files.items()} == {"loras/a": False, "loras/new": True}


def test_custom_nodes_by_commit() -> None:
    one = bundle("one", customNodes=[node("pack", "1"), node("other", "2")])
    two = bundle("two", customNodes=[node("pack", "3"), node("same", "1", "http://mirror/x")], suspend=True)
    wanted = wanted_by([one, two])
    assert {commit[0]: need.fetch for commit, need in wanted.nodes.items()} == {"1": True, "2": True, "3": False}
    assert wanted.nodes["1" * 40].url == "http://git/x"
    assert wanted.node_commits == wanted.nodes.keys()


def test_custom_nodes_that_jobs_run_with_stay() -> None:
    row = {"name": "pack", "state": "Ready", "commit": "1" * 40, "tree": "f" * 40}
    changed = bundle("b", customNodes=[node("pack", "2")], status={"customNodes": [row], "inUse": True})
    assert wanted_by([changed]).node_commits == {"1" * 40, "2" * 40}
    changed = bundle("b", customNodes=[node("pack", "2")], status={"customNodes": [row]})
    assert wanted_by([changed]).node_commits == {"2" * 40}


@st.composite
def any_bundle(draw: st.DrawFn, number: int) -> ModelBundle:
    paths = st.sampled_from(["loras/p", "loras/q", "loras/p/r"])
    models = draw(st.lists(st.tuples(paths, st.sampled_from([A, B, None]), st.sampled_from("xy")), max_size=3))
    rows = draw(st.lists(st.tuples(paths, st.sampled_from([A, B])), max_size=3, unique_by=lambda row: row[0]))
    return bundle(
        f"b{number}",
        *(model(sha256, f"http://h/{url}", path) for path, sha256, url in models),
        meta=GOING if draw(st.booleans()) else {},
        suspend=draw(st.booleans()),
        deletionPolicy=draw(st.sampled_from(["Retain", "Delete"])),
        status={"models": [ready(*row) for row in rows], "inUse": draw(st.booleans())},
    )


BUNDLES = st.integers(0, 4).flatmap(lambda count: st.tuples(*(any_bundle(number) for number in range(count))))


@given(BUNDLES)
def test_every_path_is_a_file_or_a_conflict_and_only_age_matters(bundles: tuple[ModelBundle, ...]) -> None:
    wanted = wanted_by(bundles)
    paths = {model.path for b in bundles for model in b.wanted_models()}
    assert paths == wanted.files.keys() | wanted.conflicts.keys()
    assert not wanted.files.keys() & wanted.conflicts.keys()
    back = wanted_by(bundles[::-1])
    assert back.conflicts.keys() == wanted.conflicts.keys()
    assert set(back.removals) == set(wanted.removals)
    for path, need in wanted.files.items():
        digests = {m.sha256 for b in bundles for m in b.wanted_models() if m.path == path and m.sha256}
        assert digests <= {need.want.sha256}
        assert (back.files[path].fetch, back.files[path].replace) == (need.fetch, need.replace)


@given(BUNDLES)
def test_nothing_is_removed_that_is_wanted_or_used_or_was_not_put_there(bundles: tuple[ModelBundle, ...]) -> None:
    wanted = wanted_by(bundles)
    paths = {model.path for b in bundles for model in b.wanted_models()}
    used = {row.path for b in bundles if b.status.in_use for row in b.status.models}
    for removal in wanted.removals:
        [owner] = [b for b in bundles if b.metadata.uid == removal.uid]
        assert owner.spec.deletion_policy == "Delete"
        assert (removal.path, removal.sha256) in {(row.path, row.sha256) for row in owner.status.models}
        assert removal.path not in paths
        assert bool(removal.held) == (removal.path in used)
    assert all(removal.held for removal in wanted_by(bundles, ["new"]).removals)
