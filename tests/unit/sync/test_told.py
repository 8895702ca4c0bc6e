from collections.abc import Mapping
from typing import Any

from comfyard.api.model_bundle import ModelBundle
from comfyard.store.errors import NotFoundError, RateLimitedError, UnauthorizedError
from comfyard.store.wants import Want
from comfyard.sync.states import FileState, NodeState, failed, in_place
from comfyard.sync.told import Sight, Told, Trouble, tell
from comfyard.sync.wanted import Wanted, in_place_by_status, wanted_by
from tests.unit.sync.bundles import PATH, A, B, bundle, model, node, ready, stored

READY = in_place(stored(), None)
ONE, TWO = "1" * 40, "2" * 40
THERE = NodeState("Ready", tree="f" * 40)


def told(
    one: ModelBundle,
    *others: ModelBundle,
    files: Mapping[str, FileState] | None = None,
    nodes: Mapping[str, NodeState] | None = None,
    **more: Any,
) -> Told | None:
    wanted = wanted_by([one, *others], more.pop("unknown", ()))
    return tell(one, sight(wanted, files or {}, nodes or {}), in_place_by_status(one), **more)


def sight(wanted: Wanted, files: Mapping[str, FileState], nodes: Mapping[str, NodeState]) -> Sight:
    def file(want: Want) -> FileState | None:
        return files.get(want.path)

    return Sight(wanted, file, nodes.get)


def test_nothing_is_told_before_everything_was_looked_at() -> None:
    one = bundle("one", model(A), model(B, path="loras/y"), customNodes=[node("pack", "1")])
    assert told(one, files={PATH: READY}, nodes={ONE: THERE}) is None
    assert told(one, files={PATH: READY, "loras/y": READY}) is None
    whole = told(one, files={PATH: READY, "loras/y": READY}, nodes={ONE: THERE})
    assert whole == Told(((PATH, READY), ("loras/y", READY)), (), (("pack", ONE, THERE),))
    assert whole.settled


def test_nothing_wanted_is_settled() -> None:
    assert told(bundle("one")) == Told()
    assert Told().settled


def test_one_part_that_is_not_settled_is_enough() -> None:
    one = bundle("one", model(A), customNodes=[node("pack", "1")])
    for file, pack in ((FileState("Fetching"), THERE), (READY, NodeState("Fetching"))):
        found = told(one, files={PATH: file}, nodes={ONE: pack})
        assert found
        assert not found.settled


def test_a_conflict_is_a_failure_of_both() -> None:
    one, two = bundle("one", model(A)), bundle("two", model(B))
    for each, other in ((one, two), (two, one)):
        found = told(each, other)
        assert found
        assert [(state.state, state.reason) for _, state in found.files] == [("Failed", "PathConflict")]


def test_what_another_bundle_allows_is_not_allowed_for_this_one() -> None:
    path = "upscale_models/x.pth"
    careful, other = bundle("careful", model(A, path=path)), bundle("other", model(A, path=path, allowPickle=True))
    refused, fine = told(careful, other, files={path: READY}), told(other, careful, files={path: READY})
    assert refused
    assert fine
    assert [(state.state, state.reason) for _, state in refused.files] == [("Failed", "PickleRefused")]
    assert fine.files == ((path, READY),)


def test_what_has_to_leave_is_told_until_it_is_gone() -> None:
    going = bundle("b", deletionPolicy="Delete", status={"models": [ready()], "inUse": True})
    found = told(going)
    assert found
    [(path, state)] = found.leaving
    assert (path, state.state, state.reason, state.sha256) == (PATH, "Pending", "InUse", A)
    assert not found.settled
    free = bundle("b", deletionPolicy="Delete", status={"models": [ready()]})
    wanted = wanted_by([free])
    gone = Sight(wanted, lambda _: None, lambda _: None, set(wanted.removals))
    assert tell(free, gone, in_place_by_status(free)) == Told()
    waits = told(free, unknown=["new"])
    assert waits
    assert waits.leaving[0][1].reason == "Removing"


def test_custom_nodes_that_jobs_run_with_are_told_instead_of_others() -> None:
    rows = [
        {"name": name, "state": "Ready", "commit": ONE, "tree": "f" * 40} for name in ("changed", "dropped", "same")
    ]
    nodes = [node("changed", "2"), node("same", "1"), node("new", "2")]
    used = bundle("b", customNodes=nodes, status={"customNodes": rows, "inUse": True})
    found = told(used, nodes={ONE: THERE, TWO: THERE})
    assert found
    assert [(name, commit, state.reason) for name, commit, state in found.nodes] == [
        ("changed", ONE, "InUse"),
        ("same", ONE, ""),
        ("new", TWO, ""),
        ("dropped", ONE, "InUse"),
    ]
    free = bundle("b", customNodes=nodes, status={"customNodes": rows})
    found = told(free, nodes={ONE: THERE, TWO: THERE})
    assert found
    assert [(name, commit) for name, commit, _ in found.nodes] == [("changed", TWO), ("same", ONE), ("new", TWO)]


def test_what_is_wrong_with_a_secret_is_told_with_what_it_is_for() -> None:
    paths = ["loras/a", "loras/b", "loras/c", "loras/d"]
    one = bundle("one", *(model(A, path=path) for path in paths))
    states = [failed(UnauthorizedError("401")), failed(NotFoundError("404")), failed(RateLimitedError("429")), READY]
    files = dict(zip(paths, states, strict=True))
    found = told(one, files=files, trouble=Trouble('Secret "x" is not there', passing=False))
    assert found
    messages = [state.message for _, state in found.files]
    assert messages == ['Secret "x" is not there; 401', 'Secret "x" is not there; 404', "429", ""]
    assert found.settled
    soon = told(one, files=files, trouble=Trouble('Secret "x" may not be read yet', passing=True))
    assert soon
    assert [state.state for _, state in soon.files] == ["Pending", "Pending", "Failed", "Ready"]
    assert not soon.settled
