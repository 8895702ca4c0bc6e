"""Walks through everything that may happen around a job: what plan() says is final, and what kstatus makes of it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from comfyard.api.attempts import end_attempt
from comfyard.api.conditions import COMPLETE, FAILED, ConditionSet, timestamp
from comfyard.api.generation_job import FailureClass, GenerationJob, State
from comfyard.controller import jobs
from comfyard.controller.job_status import Status, assigned, waiting
from comfyard.controller.pools import Server
from tests.builders import NOW, bundle, job, profile, template
from tests.unit.controller.planning import SERVER, done, observed
from tests.unit.controller.test_job_acceptance import with_photo

KSTATUS: dict[str, str] = {"Complete": "Current", "Failed": "Failed"}
"""What kstatus should make of each state: everything else is on its way."""


def kstatus(obj: dict[str, Any]) -> str:
    """The rules of kstatus for custom resources (sigs.k8s.io/cli-utils, pkg/kstatus/status/generic.go and core.go)."""
    meta, status = obj["metadata"], obj["status"]
    if meta.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", meta["generation"]) != meta["generation"]:
        return "InProgress"
    conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"


@pytest.mark.parametrize(
    ("conditions", "verdict"),
    [
        ({}, "Current"),
        ({"Ready": "True"}, "Current"),
        ({"Ready": "False"}, "InProgress"),
        ({"Ready": "True", "Reconciling": "True"}, "InProgress"),
        ({"Ready": "False", "Stalled": "True"}, "Failed"),
    ],
)
def test_the_rules_of_kstatus(conditions: dict[str, str], verdict: str) -> None:
    listed = [{"type": kind, "status": status} for kind, status in conditions.items()]
    assert kstatus({"metadata": {"generation": 1}, "status": {"conditions": listed}}) == verdict
    assert kstatus({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}) == "InProgress"


MOSTLY, RARELY = st.sampled_from([True, True, True, False]), st.sampled_from([False, False, False, True])


class Life(RuleBasedStateMachine):
    """One job, the things that it needs, a server, its agent, and people who change their minds."""

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime = NOW
        self.spec: dict[str, Any] = {}
        self.generation = 1
        self.status: Status = {"observedGeneration": -1}
        self.seen = observed(claims=frozenset({"results"}))
        self.server: Server | None = None
        self.ended: Status | None = None

    @initialize(takes=st.booleans(), profiles=st.sampled_from([["l4"], ["l4", "a100"]]), limit=st.integers(0, 2))
    def order(self, profiles: list[str], limit: int, *, takes: bool) -> None:
        first = {"parameter": "photo", "job": {"name": "first", "output": "image"}}
        self.spec = {"profiles": profiles, "backoffLimit": limit, "inputs": [first] if takes else []}
        self.server = SERVER
        self.seen = replace(
            self.seen,
            template=template(**(with_photo() if takes else {})),
            profiles={name: profile(name) for name in profiles},
            jobs={"first": done()},
        )

    @property
    def present(self) -> GenerationJob:
        return job(self.status, {"generation": self.generation}, **self.spec)

    def plan(self) -> jobs.Plan:
        held = self.status.get("assignment")
        server = self.server if held and self.server and held["server"] == self.server.name else None
        return jobs.plan(
            self.present, self.status, replace(self.seen, server=server, last_server=self.server), self.now
        )

    @rule(seconds=st.sampled_from([1, 15, 60, 400]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(there=MOSTLY)
    def template_comes_or_goes(self, *, there: bool) -> None:
        spec = with_photo() if self.spec["inputs"] else {}
        self.seen = replace(self.seen, template=template(**spec) if there else None)

    @rule(there=MOSTLY)
    def bundle_comes_or_goes(self, *, there: bool) -> None:
        self.seen = replace(self.seen, bundles={"sd15": bundle()} if there else {})

    @rule(names=st.sampled_from([["l4", "a100"], ["l4", "a100"], ["l4"], ["a100"]]))
    def profiles_come_and_go(self, names: list[str]) -> None:
        self.seen = replace(self.seen, profiles={name: profile(name) for name in names})

    @rule(other=st.sampled_from([None, job(metadata={"name": "first"}), done(), done()]))
    def the_first_job_goes_on(self, other: GenerationJob | None) -> None:
        self.seen = replace(self.seen, jobs={"first": other} if other else {})

    @rule(annotation=st.sampled_from([None, None, '{"claim": {"name": "results"}}', "?"]))
    def the_namespace_is_annotated(self, annotation: str | None) -> None:
        self.seen = replace(self.seen, output_annotation=annotation)

    @rule(state=st.sampled_from(["ready", "ready", "ready", "late", "gone", "killed"]))
    def server_comes_or_goes(self, state: str) -> None:
        late = replace(SERVER, ready=False, unready_since=self.now)
        states = {"ready": SERVER, "late": late, "gone": None, "killed": replace(SERVER, killed_at=self.now)}
        self.server = states[state]

    @rule(suspend=RARELY, deadline=st.sampled_from([None, 10, 300]), ttl=st.sampled_from([None, 0, 60]))
    def a_person_changes_the_order(self, deadline: int | None, ttl: int | None, *, suspend: bool) -> None:
        self.spec |= {"suspend": suspend, "activeDeadlineSeconds": deadline, "ttlSecondsAfterFinished": ttl}
        self.generation += 1

    @rule(busy=RARELY)
    def the_operator_acts(self, *, busy: bool) -> None:
        plan = self.plan()
        if plan.demand is None or plan.receipt is None:
            self.status = plan.status
        elif busy or self.server is None:
            self.status = waiting(self.present, plan.status, "Queued", "WaitingForServer", "all are busy", self.now)
        else:
            server = replace(SERVER, profile=plan.demand.pool.profile)
            self.status = assigned(self.present, plan.status, plan.receipt, server, self.now)

    @precondition(lambda self: "assignment" in self.status)
    @rule(kind=st.sampled_from(get_args(FailureClass)), words=st.sampled_from(["boom", "bang"]))
    def the_agent_fails(self, kind: FailureClass, words: str) -> None:
        self._end(end_attempt(self.present.status.assignment, "Failed", self.now, kind, words).to_api())  # type: ignore[arg-type]

    @precondition(lambda self: "assignment" in self.status)
    @rule()
    def the_agent_completes(self) -> None:
        conditions = ConditionSet(self.present.status.conditions, self.generation, self.now)
        conditions.ready("Complete", "1 image stored")
        conditions.set(COMPLETE, status=True, reason="Complete", message="1 image stored")
        self._end(end_attempt(self.present.status.assignment, "Succeeded", self.now).to_api())  # type: ignore[arg-type]
        self.status |= {
            "state": "Complete",
            "observedGeneration": self.generation,
            "completionTime": timestamp(self.now),
            "conditions": conditions.to_api(),
        }

    def _end(self, attempt: dict[str, Any]) -> None:
        kept = {key: value for key, value in self.status.items() if key not in {"assignment", "progress"}}
        self.status = {**kept, "attempts": [*kept.get("attempts", []), attempt]}

    @invariant()
    def planning_on_its_own_result_does_nothing(self) -> None:
        first, written = self.plan(), self.status
        self.status = first.status
        again = self.plan()  # what has just finished is deleted only now, or looked at again when its time comes
        self.status = again.status
        once_more = self.plan()
        self.status = written
        assert (again.status, again.demand, again.receipt) == (first.status, first.demand, first.receipt)
        assert once_more == again

    @invariant()
    def what_is_planned_is_what_kstatus_reads(self) -> None:
        plan = self.plan()
        if plan.demand or plan.delete:
            return  # nothing is written of it as it is
        status = plan.status
        assert status["observedGeneration"] == self.generation
        assert status["state"] in get_args(State)
        assert kstatus({"metadata": {"generation": self.generation}, "status": status}) == KSTATUS.get(
            status["state"], "InProgress"
        )

    @invariant()
    def what_is_written_is_sound(self) -> None:
        status = GenerationJob.model_validate(
            {"metadata": {"name": "x"}, "spec": self.present.spec, "status": self.status}
        )
        true = {c.type for c in status.status.conditions if c.status == "True"}
        assert not {"Reconciling", "Stalled"} <= true
        assert not {COMPLETE, FAILED} <= true
        assert not (status.is_finished() and status.status.assignment)

    @invariant()
    def what_is_finished_stays_so(self) -> None:
        if self.ended:
            assert {**self.status, "observedGeneration": 0} == {**self.ended, "observedGeneration": 0}
        elif self.present.is_finished():
            self.ended = self.status


Life.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestLife = Life.TestCase
