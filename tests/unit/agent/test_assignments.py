"""Which jobs are this server's, and in which order."""

from typing import Any

import pytest

from comfyard.agent.assignments import Assignments, assigned_here
from tests.builders import job

ASSIGNMENT = {"id": "one", "server": "s-1", "time": "2026-01-02T03:04:05Z"}
NOON, LATER = "2026-01-02T12:00:00Z", "2026-01-02T12:00:01Z"


def test_an_assignment_to_this_server_is_worked_on() -> None:
    found = assigned_here(job({"assignment": ASSIGNMENT}), "s-1")
    assert found
    assert found.id == "one"


@pytest.mark.parametrize(
    "what",
    [
        job({"observedGeneration": 1}),
        job({"assignment": {**ASSIGNMENT, "server": "s-2"}}),
        job({"assignment": ASSIGNMENT}, suspend=True),
        job({"assignment": ASSIGNMENT}, {"deletionTimestamp": "2026-01-02T03:04:06Z"}),
    ],
)
def test_nothing_else_is_worked_on(what: Any) -> None:
    assert assigned_here(what, "s-1") is None


def assigned(name: str, time: str = NOON, created: str = NOON, **spec: Any) -> dict[str, Any]:
    """As the API server gives it."""
    found = job(
        {"assignment": {**ASSIGNMENT, "id": name, "time": time}}, {"name": name, "creationTimestamp": created}, **spec
    )
    return found.to_api()


IN_ORDER = [
    assigned("oldest", created=LATER),
    assigned("urgent", LATER, created=LATER, priority=5),
    assigned("waited-longer", LATER),
    assigned("a", LATER, created=LATER),
    assigned("b", LATER, created=LATER),
]


@pytest.mark.parametrize("heard", [IN_ORDER, IN_ORDER[::-1], IN_ORDER[2:] + IN_ORDER[:2]])
def test_the_order_does_not_depend_on_what_was_heard_first(heard: list[dict[str, Any]]) -> None:
    found = Assignments("s-1").among({obj["metadata"]["name"]: obj for obj in heard})
    assert [assignment.id for assignment, _ in found] == ["oldest", "urgent", "waited-longer", "a", "b"]


def test_a_version_of_a_job_is_read_once() -> None:
    read, first, other = Assignments("s-1"), assigned("a"), assigned("b")
    [(_, before), _] = read.among({"a": first, "b": other})
    [(_, again)] = read.among({"a": first})
    [(_, after)] = read.among({"a": assigned("a", suspend=False)})
    assert (again is before, after is before) == (True, False)


def test_a_job_that_has_changed_is_read_again() -> None:
    read = Assignments("s-1")
    assert len(read.among({"a": assigned("a")})) == 1
    assert read.among({"a": assigned("a", suspend=True)}) == []
