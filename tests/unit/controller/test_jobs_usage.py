"""What a job has cost: not what it waited in a server's second slot."""

from datetime import timedelta

import pytest

from comfyard.api.attempts import parse_time, usage_after
from comfyard.api.generation_job import Assignment
from comfyard.controller.pools import Server
from tests.builders import NOW, job, profile
from tests.unit.controller.planning import ASSIGNMENT, observed, plan

BEGAN = parse_time(ASSIGNMENT["time"])


@pytest.mark.parametrize(("turn", "seconds"), [(None, 10), (-5, 10), (4, 6), (20, 0)])
def test_time_counts_from_when_the_server_was_done_with_the_job_before(turn: int | None, seconds: int) -> None:
    came = None if turn is None else BEGAN + timedelta(seconds=turn)
    order = job({"usage": {"gpuSeconds": 100, "queuedSeconds": 7}})
    usage = usage_after(order, Assignment.model_validate(ASSIGNMENT), 2, BEGAN + timedelta(seconds=10), came)
    assert (usage.gpu_seconds, usage.queued_seconds) == (100 + 2 * seconds, 7)


def test_a_job_that_is_suspended_before_its_turn_has_cost_nothing() -> None:
    server = Server(namespace="studio", name="l4-1", pool="l4-x", profile="l4", ready=True, leaving=False)
    order = job({"assignment": ASSIGNMENT}, suspend=True)
    seen = observed(server=server, profiles={"l4": profile(gpus=1)})
    assert plan(order, seen).status["usage"]["gpuSeconds"] == round((NOW - BEGAN).total_seconds())
    later = observed(server=server, profiles={"l4": profile(gpus=1)}, last_end=NOW)
    assert plan(order, later).status["usage"]["gpuSeconds"] == 0
