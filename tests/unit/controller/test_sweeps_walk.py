"""Any order of jobs that end, people who delete and change things, and an operator that is late and killed at any step.

The API server is modelled by what matters here: resourceVersions, names that are unique, finalizers.
"""

import copy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from comfyard.api.conditions import is_true, timestamp
from comfyard.api.generation_sweep import GenerationSweep
from comfyard.controller import sweeps
from comfyard.controller.indexes import expand
from comfyard.controller.resources.sweep_job import build_sweep_job
from comfyard.controller.sweep_jobs import observe_child
from comfyard.kube.kinds import name_of
from comfyard.runtime.cache import version_of
from tests.builders import NOW, sweep, template

TOTAL = 3
TEMPLATE = template()
ALL = 100
OFTEN_ALL = st.sampled_from([ALL, ALL, 0, 1, 2])
Jobs = dict[str, dict[str, Any]]


class Sweeping(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.jobs: Jobs = {}
        self.cache: Jobs = {}
        self.events: list[dict[str, Any]] = []
        self.ends: dict[str, list[str]] = {}
        self.status: dict[str, Any] = {"observedGeneration": -1}
        self.spec: dict[str, Any] = {}
        self.generation = 1
        self.version = 0

    @initialize(parallelism=st.integers(1, TOTAL))
    def order(self, parallelism: int) -> None:
        self.spec = {"matrix": [{"parameter": "steps", "values": [1] * TOTAL}], "parallelism": parallelism}

    @property
    def sweep(self) -> GenerationSweep:
        return sweep(self.status, {"generation": self.generation}, **self.spec)

    @property
    def is_finished(self) -> bool:
        return self.sweep.is_finished()

    def plan(self) -> sweeps.Plan:
        children = [observe_child(job) for job in self.cache.values()]
        return sweeps.plan(self.sweep, self.status, sweeps.Observed(TEMPLATE, ["text-to-image"], children), NOW)

    # The API server: versions, events, and what is deleted goes once nobody holds it.

    def put(self, job: dict[str, Any]) -> None:
        self.version += 1
        job = copy.deepcopy(job)
        job["metadata"]["resourceVersion"] = str(self.version)
        self.jobs[name_of(job)] = job
        if job["metadata"].get("deletionTimestamp") and not job["metadata"]["finalizers"]:
            del self.jobs[name_of(job)]
        self.events.append(job)

    # The operator's cache: what it wrote itself at once, what others wrote when it hears of it.

    def hear(self, job: dict[str, Any]) -> None:
        known = self.cache.get(name_of(job))
        if known and version_of(known) > version_of(job):
            return
        self.cache[name_of(job)] = job
        if job["metadata"].get("deletionTimestamp") and not job["metadata"]["finalizers"]:
            del self.cache[name_of(job)]

    def step(self, what: str, which: Any) -> None:
        """What the operator does with a plan, one job at a time."""
        name = f"styles-{which}" if what == "create" else which
        there, known = self.jobs.get(name), copy.deepcopy(self.cache.get(name))
        if what == "create":
            if there is None:
                self.put(build_sweep_job(self.sweep, which))
        elif what == "delete":
            self.delete(name)
            if known and there is None:
                del self.cache[name]
        elif known and there and version_of(there) == version_of(known):  # else a conflict
            if what == "release":
                known["metadata"]["finalizers"] = []
            else:
                known["spec"]["suspend"] = what == "suspend"
            self.put(known)
        if name in self.jobs:
            self.hear(self.jobs[name])

    def run(self, most: int, *, write: bool) -> int:
        """One pass; returns how many steps there were. A pass that was killed takes fewer than it planned."""
        plan = self.plan()
        if write or not sweeps.may_wait(self.status, plan.status):
            self.status = plan.status
        order = ("release", "delete", "suspend", "resume", "create")
        steps = [(what, which) for what in order for which in getattr(plan, what)]
        for what, which in steps[:most]:
            self.step(what, which)
        return len(steps)

    def delete(self, name: str) -> None:
        job = self.jobs.get(name)
        if job and not job["metadata"].get("deletionTimestamp"):
            self.put({**job, "metadata": {**job["metadata"], "deletionTimestamp": timestamp(NOW)}})

    @rule(hears=OFTEN_ALL, most=OFTEN_ALL, write=st.booleans())
    def operator_looks(self, hears: int, most: int, write: bool) -> None:  # noqa: FBT001 - drawn
        self.operator_hears(hears)
        self.run(most, write=write)

    def operator_hears(self, most: int) -> None:
        for job in self.events[:most]:
            self.hear(job)
        del self.events[:most]

    @rule()
    def operator_starts_anew(self) -> None:
        self.cache, self.events = copy.deepcopy(self.jobs), []

    @precondition(lambda self: self.jobs)
    @rule(number=st.integers(0, TOTAL), outcome=st.sampled_from(["Complete", "Failed"]))
    def a_job_ends(self, number: int, outcome: str) -> None:
        self.end(sorted(self.jobs)[number % len(self.jobs)], outcome)

    def end(self, name: str, outcome: str) -> None:
        job = self.jobs[name]
        if not job["spec"].get("suspend") and not observe_child(job).outcome:
            self.put({**job, "status": {"conditions": [{"type": outcome, "status": "True"}]}})
            self.ends.setdefault(name, []).append(outcome)

    @precondition(lambda self: self.jobs)
    @rule(number=st.integers(0, TOTAL))
    def person_deletes_a_job(self, number: int) -> None:
        self.delete(sorted(self.jobs)[number % len(self.jobs)])

    @rule(
        spec=st.fixed_dictionaries({"suspend": st.booleans()})
        | st.fixed_dictionaries(
            {"maxFailures": st.none() | st.integers(0, TOTAL), "parallelism": st.integers(1, TOTAL)}
        )
    )
    def person_changes_the_sweep(self, spec: dict[str, Any]) -> None:
        self.change(**spec)

    def change(self, **spec: Any) -> None:
        if {**self.spec, **spec} != self.spec:
            self.spec = {**self.spec, **spec}
            self.generation += 1

    @precondition(lambda self: self.is_finished)
    @rule()
    def what_is_finished_stays_so(self) -> None:
        before = self.status
        self.run(ALL, write=True)
        assert self.status == {**before, "observedGeneration": self.generation}

    @invariant()
    def no_job_has_ended_twice(self) -> None:
        assert all(len(outcomes) == 1 for outcomes in self.ends.values())

    @invariant()
    def what_is_counted_is_so(self) -> None:
        status = self.sweep.status
        for text, outcome in ((status.completed_indexes, "Complete"), (status.failed_indexes, "Failed")):
            assert all(self.ends[f"styles-{index}"] == [outcome] for index in expand(text))
        assert status.pending + status.active + status.succeeded + status.failed == status.total

    @invariant()
    def kstatus_is_not_confused(self) -> None:
        conditions = self.sweep.status.conditions
        assert not (is_true(conditions, "Reconciling") and is_true(conditions, "Stalled"))
        assert not (is_true(conditions, "Complete") and is_true(conditions, "Failed"))
        assert is_true(conditions, "Ready") == is_true(conditions, "Complete")

    def teardown(self) -> None:  # type: ignore[explicit-override] # @override is of Python 3.12
        """Left alone, it comes to its end, with every job run once; and planning on that does nothing."""
        self.change(suspend=False, maxFailures=None)
        for _ in range(100):
            before = self.status
            self.operator_hears(ALL)
            if not self.run(ALL, write=True) and self.is_finished and self.status == before:
                break
            for name in list(self.jobs):
                self.end(name, "Complete")
        assert self.is_finished
        assert not any(observe_child(job).held for job in self.jobs.values())
        status = self.sweep.status
        limited = any(c.reason == "MaxFailuresExceeded" for c in status.conditions)
        assert limited or status.succeeded + status.failed == TOTAL
        assert self.plan() == sweeps.Plan(self.status)


Sweeping.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSweeping = Sweeping.TestCase
