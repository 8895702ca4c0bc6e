from dataclasses import replace
from datetime import timedelta

from comfyard.store.errors import NoSpaceError, NotFoundError
from comfyard.sync.happenings import failures, happenings
from comfyard.sync.states import FileState, NodeState, failed, in_place
from comfyard.sync.told import Told
from tests.unit.sync.bundles import NOW, stored

GONE = failed(NotFoundError("404"))
REPAIRED = in_place(stored(), None, "Repaired")


def told(*states: FileState) -> Told:
    return Told(tuple((f"loras/{number}", state) for number, state in enumerate(states)))


def test_what_arrived_as_expected_is_no_news() -> None:
    assert happenings(told(in_place(stored(), None), FileState("Fetching")), Told(), {}) == []


def test_repair_and_adoption_are_told_once() -> None:
    now = told(REPAIRED, in_place(stored(), None, "Adopted"))
    news = happenings(now, Told(), {})
    assert [(one.type, one.reason) for one in news] == [("Warning", "Repaired"), ("Normal", "Adopted")]
    assert "loras/0 had been changed or deleted; it was fetched anew and is sha256 aaaaaaaaaaaa…" in news[0].message
    assert happenings(now, now, {}) == []
    again = told(replace(REPAIRED, verified=NOW + timedelta(days=1)))
    assert len(happenings(again, now, {})) == 1


def test_a_failure_is_told_when_it_is_for_good() -> None:
    nodes = Told(nodes=(("pack", "1" * 40, NodeState("Failed", "NotFound", "no such commit")),))
    assert [one.message for one in happenings(nodes, Told(), {})] == ["pack: NotFound: no such commit"]
    [failure] = happenings(told(GONE), Told(), {})
    assert (failure.type, failure.reason, failure.message) == ("Warning", "FetchFailed", "loras/0: NotFound: 404")
    full = FileState("Failed", NoSpaceError.reason, "60 MB are missing")
    assert happenings(told(full), Told(), {}) == []


def test_a_failure_is_told_once_though_it_is_tried_again() -> None:
    known = failures(told(GONE), {})
    assert known == {"loras/0": "NotFound"}
    assert happenings(told(GONE), Told(), known) == []
    assert failures(told(FileState("Fetching")), known) == known
    assert len(happenings(told(GONE), Told(), {"loras/0": "Unauthorized"})) == 1
    assert failures(told(in_place(stored(), None)), known) == {}
    assert failures(Told(), known) == {}
