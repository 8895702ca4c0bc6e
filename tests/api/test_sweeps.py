"""GenerationSweeps, with the operator as a process; the tests play the agents, and the garbage collector."""

import asyncio
import json
import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import pytest
import yaml

from comfyard.api.conditions import timestamp
from comfyard.kube.client import LightkubeClient
from comfyard.kube.errors import NotFoundError
from comfyard.kube.kinds import GENERATION_JOB, GENERATION_SWEEP, Obj, name_of
from hack.cluster.control_plane import ControlPlane
from tests.api.conftest import SECONDS, WAIT, Studio
from tests.builders import NOW
from tests.conftest import Kubectl

pytestmark = pytest.mark.api

AT_ONCE = 20


class Sweeps:
    """What a person, an agent and the garbage collector do to the sweeps of one namespace."""

    def __init__(
        self, studio: Studio, kube: LightkubeClient, audit_log: Callable[[], Iterable[dict[str, Any]]]
    ) -> None:
        self.studio = studio
        self._kube = kube
        self._audit_log = audit_log

    def order(self, name: str, **spec: Any) -> None:
        job = {
            "template": {"name": "text-to-image"},
            "profiles": [self.studio.profile],
            "parameters": {"prompt": "a lighthouse"},
        }
        self.studio.create("GenerationSweep", name, {"jobTemplate": {"spec": job}, **spec})

    async def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self._kube.get(GENERATION_SWEEP, name, self.studio.namespace))["status"]
        return found

    async def wait(self, name: str, seconds: float = SECONDS, **expected: Any) -> dict[str, Any]:
        """Wait until the status has these values; `reason` is that of the condition Ready."""
        deadline = time.monotonic() + seconds
        while True:
            status = await self.status(name)
            told = {c["type"]: c for c in status.get("conditions", [])}
            assert not all(told.get(kind, {}).get("status") == "True" for kind in ("Reconciling", "Stalled"))
            seen = {**status, "reason": told.get("Ready", {}).get("reason")}
            if all(seen.get(key) == value for key, value in expected.items()):
                return status
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0.05)

    async def jobs(self, name: str) -> dict[str, Obj]:
        found = await self._kube.list(GENERATION_JOB, self.studio.namespace, labels={"comfyard.io/sweep": name})
        return {name_of(job): job for job in found.items}

    async def wait_jobs(
        self, name: str, done: Callable[[dict[str, Obj]], bool], seconds: float = SECONDS
    ) -> dict[str, Obj]:
        deadline = time.monotonic() + seconds
        while not done(found := await self.jobs(name)):
            assert time.monotonic() < deadline, list(found)
            await asyncio.sleep(0.05)
        return found

    async def wait_live(self, name: str, ended: set[str], count: int) -> list[str]:
        """Wait until so many jobs are there besides those that have ended."""
        found = await self.wait_jobs(name, lambda jobs: len(jobs.keys() - ended) >= count)
        return sorted(found.keys() - ended)

    async def end(self, names: Iterable[str], outcome: str = "Complete") -> None:
        """What the agent writes at the end of a job."""
        failed = outcome == "Failed"
        conditions = [
            {"type": kind, "status": so, "reason": outcome, "message": "", "lastTransitionTime": timestamp(NOW)}
            for kind, so in (
                (outcome, "True"),
                ("Ready", "False" if failed else "True"),
                ("Reconciling", "False"),
                ("Stalled", "True" if failed else "False"),
            )
        ]
        status = {"state": outcome, "message": "node 3: no" if failed else "", "conditions": conditions}
        gate = asyncio.Semaphore(AT_ONCE)

        async def _end(name: str) -> None:
            async with gate:
                await self._kube.patch_status(GENERATION_JOB, name, self.studio.namespace, status)

        await asyncio.gather(*(_end(name) for name in names))

    async def delete(self, names: Iterable[str]) -> None:
        for name in names:
            await self._kube.delete(GENERATION_JOB, name, self.studio.namespace)

    async def wait_gone(self, names: Iterable[str]) -> None:
        deadline = time.monotonic() + SECONDS
        for name in names:
            while True:
                try:
                    await self._kube.get(GENERATION_JOB, name, self.studio.namespace)
                except NotFoundError:
                    break
                assert time.monotonic() < deadline, f"{name} is still there"
                await asyncio.sleep(0.05)

    def written(self, resource: str) -> Counter[tuple[str, str]]:
        """Verb and name of the operator's writes that were taken."""
        return Counter(
            (line["verb"], line["objectRef"].get("name", ""))
            for line in self._audit_log()
            if line["objectRef"].get("namespace") == self.studio.namespace
            and line["objectRef"]["resource"] == resource
            and line["stage"] == "ResponseComplete"
            and line["responseStatus"]["code"] < HTTPStatus.MULTIPLE_CHOICES
            and line["user"]["username"] == "system:serviceaccount:comfyard-system:comfyard"
        )

    def created(self) -> Counter[str]:
        """How often the operator has made each job."""
        return Counter(
            {name: times for (verb, name), times in self.written("generationjobs").items() if verb == "create"}
        )


@pytest.fixture
def sweeps(studio: Studio, kube: LightkubeClient, control_plane: ControlPlane) -> Sweeps:
    studio.prepare()
    log = control_plane.audit_log
    return Sweeps(studio, kube, lambda: (json.loads(line) for line in log.read_text().splitlines()))


def axis(parameter: str, values: Iterable[Any]) -> dict[str, Any]:
    return {"parameter": parameter, "values": list(values)}


def seeds(count: int) -> list[dict[str, Any]]:
    return [axis("seed", (str(number) for number in range(count)))]


def names(count: int, sweep: str = "s") -> set[str]:
    return {f"{sweep}-{index}" for index in range(count)}


def is_held(job: Obj) -> bool:
    return "comfyard.io/sweep" in job["metadata"].get("finalizers", [])


async def test_a_thousand_jobs_are_made_counted_and_let_go(sweeps: Sweeps) -> None:
    begun = time.monotonic()
    matrix = [axis("steps", range(1, 11)), axis("seed", (str(number) for number in range(100)))]
    sweeps.order("s", matrix=matrix, parallelism=1000)
    await sweeps.wait("s", seconds=120, total=1000, active=1000, pending=0)
    jobs = await sweeps.jobs("s")
    assert jobs.keys() == names(1000)
    assert all(is_held(job) for job in jobs.values())
    assert jobs["s-205"]["spec"]["parameters"] == {"prompt": "a lighthouse", "steps": 3, "seed": "5"}
    assert jobs["s-205"]["metadata"]["annotations"]["comfyard.io/sweep-index"] == "205"

    await sweeps.end(names(1000))
    status = await sweeps.wait("s", seconds=120, reason="Complete")
    assert (status["succeeded"], status["failed"], status["active"], status["pending"]) == (1000, 0, 0, 0)
    assert status["completedIndexes"] == "0-999"
    assert "completionTime" in status
    assert "True" in sweeps.studio.kubectl("get", "cgs", "s", "-o", 'jsonpath={.status.conditions[?(@.type=="Ready")]}')
    await sweeps.wait_jobs("s", lambda found: not any(is_held(job) for job in found.values()), seconds=120)

    assert sweeps.created() == Counter(names(1000))
    writes = sweeps.written("generationsweeps").total()
    # At every change of state (started, complete), and counts at most every two seconds.
    assert writes <= (time.monotonic() - begun) / 2 + 4


async def test_a_killed_operator_makes_no_job_twice(sweeps: Sweeps) -> None:
    total = 60
    sweeps.order("s", matrix=seeds(total), parallelism=15)
    ended: set[str] = set()
    round_ = 0
    while len(ended) < total:
        live = await sweeps.wait_live("s", ended, min(15, total - len(ended)))
        await sweeps.end(live[:5])
        sweeps.studio.operator.stop(signal.SIGKILL)
        # While nobody looks: some end, and of those that have ended a person deletes some.
        await sweeps.end(live[5:10])
        ended |= set(live[:10])
        await sweeps.delete(live[:10:2])
        sweeps.studio.operator.start()
        await sweeps.wait_gone(live[:10:2])
        round_ += 1
    status = await sweeps.wait("s", reason="Complete")
    assert status["completedIndexes"] == f"0-{total - 1}"
    assert sweeps.created() == Counter(names(total))
    assert round_ == math.ceil(total / 10)


async def test_a_job_that_is_deleted_before_its_end_is_made_anew(sweeps: Sweeps) -> None:
    sweeps.order("s", matrix=seeds(2))
    before = await sweeps.wait_jobs("s", lambda jobs: len(jobs) == 2)
    await sweeps.delete(["s-0"])
    uid = before["s-0"]["metadata"]["uid"]
    await sweeps.wait_jobs("s", lambda jobs: len(jobs) == 2 and jobs["s-0"]["metadata"]["uid"] != uid)
    assert sweeps.created() == Counter({"s-0": 2, "s-1": 1})


async def test_what_has_ended_is_kept_as_a_number_when_the_job_is_deleted(sweeps: Sweeps) -> None:
    sweeps.order("s", matrix=seeds(3), parallelism=2)
    await sweeps.wait_jobs("s", lambda jobs: len(jobs) == 2)
    await sweeps.end(["s-0"])
    await sweeps.delete(["s-0"])
    await sweeps.wait_gone(["s-0"])
    await sweeps.end(["s-1"])
    await sweeps.wait_jobs("s", lambda jobs: "s-2" in jobs)
    await sweeps.end(["s-2"], "Failed")
    status = await sweeps.wait("s", reason="FailedIndexes")
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,1", "2")
    assert "1 of 3 jobs failed (s-2: node 3: no)" in status["message"]
    assert sweeps.created() == Counter(names(3))


async def test_jobs_that_go_by_themselves_at_their_end_run_once(sweeps: Sweeps) -> None:
    spec = {"template": {"name": "text-to-image"}, "profiles": ["p"], "parameters": {"prompt": "x"}}
    sweeps.order("s", jobTemplate={"spec": {**spec, "ttlSecondsAfterFinished": 0}}, matrix=seeds(6), parallelism=2)
    for index in range(6):
        await sweeps.wait_jobs("s", lambda jobs, name=f"s-{index}": name in jobs)  # type: ignore[misc]
        await sweeps.end([f"s-{index}"])
    status = await sweeps.wait("s", reason="Complete")
    assert status["completedIndexes"] == "0-5"
    await sweeps.wait_gone(names(6))
    assert sweeps.created() == Counter(names(6))


async def test_jobs_go_with_their_sweep(sweeps: Sweeps, kube: LightkubeClient) -> None:
    sweeps.order("s", matrix=seeds(5))
    await sweeps.wait("s", active=5)
    sweep = await kube.get(GENERATION_SWEEP, "s", sweeps.studio.namespace)
    jobs = await sweeps.jobs("s")
    owners = [job["metadata"]["ownerReferences"] for job in jobs.values()]
    assert owners == 5 * [
        [
            {
                "apiVersion": "comfyard.io/v1alpha1",
                "kind": "GenerationSweep",
                "name": "s",
                "uid": sweep["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
    ]
    sweeps.studio.kubectl("delete", "cgs", "s", "--wait=false")
    await sweeps.delete(jobs)  # what the garbage collector does
    await sweeps.wait_gone(jobs)


async def test_jobs_that_a_sweep_leaves_behind_are_held_by_nobody(sweeps: Sweeps) -> None:
    sweeps.order("s", matrix=seeds(3))
    await sweeps.wait("s", active=3)
    sweeps.studio.operator.stop(signal.SIGKILL)
    sweeps.studio.kubectl("delete", "cgs", "s")
    sweeps.studio.operator.start()
    left = await sweeps.wait_jobs("s", lambda jobs: not any(is_held(job) for job in jobs.values()))
    assert left.keys() == names(3)


async def test_too_many_failures_stop_the_rest(sweeps: Sweeps) -> None:
    sweeps.order("s", matrix=seeds(10), parallelism=4, maxFailures=1)
    await sweeps.wait("s", active=4)
    await sweeps.end(["s-0"], "Failed")
    await sweeps.wait_jobs("s", lambda jobs: "s-4" in jobs)
    await sweeps.end(["s-1"], "Failed")
    status = await sweeps.wait("s", reason="MaxFailuresExceeded", active=0, pending=8)
    assert (status["failedIndexes"], status["completedIndexes"]) == ("0,1", "")
    assert "2 jobs failed (s-0: node 3: no), more than spec.maxFailures (1) allows; 8 of 10" in status["message"]
    assert (await sweeps.jobs("s")).keys() == {"s-0", "s-1"}
    sweeps.studio.kubectl("wait", "--for=condition=Failed", WAIT, "cgs/s")
    await sweeps.wait_jobs("s", lambda jobs: not any(is_held(job) for job in jobs.values()))


async def test_suspend_suspends_the_jobs_and_resume_lets_them_go_on(sweeps: Sweeps) -> None:
    sweeps.order("s", matrix=seeds(4), parallelism=2)
    await sweeps.wait("s", active=2)
    sweeps.studio.kubectl("patch", "cgs", "s", "--type=merge", "-p", '{"spec":{"suspend":true,"parallelism":4}}')
    await sweeps.wait_jobs("s", lambda jobs: all(job["spec"]["suspend"] for job in jobs.values()))
    status = await sweeps.wait("s", reason="Suspended")
    assert (status["active"], status["pending"]) == (2, 2)
    sweeps.studio.wait("cgj/s-0", ".status.state", "Suspended")
    sweeps.studio.kubectl("patch", "cgs", "s", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    await sweeps.wait_jobs("s", lambda jobs: len(jobs) == 4 and not any(j["spec"]["suspend"] for j in jobs.values()))
    await sweeps.wait("s", reason="Running", active=4)


async def test_applying_a_sweep_again_changes_nothing(sweeps: Sweeps, kube: LightkubeClient) -> None:
    sweeps.order("s", matrix=seeds(2))
    await sweeps.wait_jobs("s", lambda jobs: len(jobs) == 2)
    await sweeps.end(names(2))
    await sweeps.wait("s", reason="Complete")
    await sweeps.wait_jobs("s", lambda jobs: not any(is_held(job) for job in jobs.values()))
    before = await kube.get(GENERATION_SWEEP, "s", sweeps.studio.namespace)
    sweeps.order("s", matrix=seeds(2))
    sweeps.order("t", matrix=seeds(1))
    await sweeps.wait("t", active=1)
    after = await kube.get(GENERATION_SWEEP, "s", sweeps.studio.namespace)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert sweeps.created() == Counter(names(2) | {"t-0"})


async def test_wrong_sets_are_told_before_any_job_is_made(sweeps: Sweeps) -> None:
    sweeps.order("s", sets=[{"steps": 10}, {"steps": 99}, {"stpes": 10}])
    status = await sweeps.wait("s", reason="InvalidParameters")
    assert "job 1: parameter steps: 99 is greater than the maximum of 60" in status["message"]
    assert "job 2: unknown parameter stpes" in status["message"]
    assert "startTime" not in status
    assert await sweeps.jobs("s") == {}
    head, row = sweeps.studio.kubectl("get", "cgs", "s").splitlines()
    assert head.split() == ["NAME", "STATE", "DONE", "OF", "ACTIVE", "FAILED", "AGE", "STATUS"]
    assert row.split()[:6] == ["s", "InvalidParameters", "0", "3", "0", "0"]


async def test_a_matrix_of_too_many_combinations_says_so(sweeps: Sweeps) -> None:
    sweeps.order("s", matrix=[axis("steps", [1] * 101), axis("seed", ["1"] * 100)])
    status = await sweeps.wait("s", reason="TooManyJobs")
    assert "10100 combinations, and a sweep at most 10000" in status["message"]
    assert sweeps.created() == Counter()


async def test_a_template_is_waited_for(sweeps: Sweeps) -> None:
    spec = {"template": {"name": "later"}, "profiles": ["p"], "parameters": {"prompt": "x"}}
    sweeps.order("s", jobTemplate={"spec": spec}, matrix=seeds(1))
    status = await sweeps.wait("s", reason="TemplateNotFound")
    assert "(there: text-to-image); create it" in status["message"]
    found = sweeps.studio.get("cwt", "text-to-image")
    sweeps.studio.create("WorkflowTemplate", "later", found["spec"])
    await sweeps.wait("s", active=1)


async def test_a_job_of_somebody_else_is_in_the_way_until_it_is_gone(sweeps: Sweeps) -> None:
    sweeps.studio.order("s-1")
    sweeps.order("s", matrix=seeds(3))
    status = await sweeps.wait("s", reason="NameTaken")
    assert 'generationjobs.comfyard.io "s-1" is there already and not of this sweep; delete it' in status["message"]
    await sweeps.delete(["s-1"])
    await sweeps.wait("s", reason="Running", active=3)


async def test_a_quota_that_forbids_jobs_is_told_and_waited_for(sweeps: Sweeps) -> None:
    hard = {"count/generationjobs.comfyard.io": "2"}
    sweeps.studio.kubectl("create", "quota", "two", "--hard=count/generationjobs.comfyard.io=2")
    sweeps.studio.patch_status("quota", "two", {"hard": hard, "used": {"count/generationjobs.comfyard.io": "0"}})
    sweeps.order("s", matrix=seeds(3))
    status = await sweeps.wait("s", reason="JobRefused")
    assert "exceeded quota: two" in status["message"]
    sweeps.studio.kubectl("delete", "quota", "two")
    await sweeps.wait("s", reason="Running", active=3)


async def test_a_parameter_that_was_renamed_behind_the_rules_stops_the_sweep(sweeps: Sweeps) -> None:
    sweeps.order("s", sets=[{"steps": 7}], suspend=False)
    await sweeps.wait("s", active=1)
    sweeps.order("s", sets=[{"seed": 7}])
    await sweeps.wait("s", reason="SpecChanged")
    sweeps.order("s", sets=[{"steps": 7}])
    await sweeps.wait("s", reason="Running")
    assert sweeps.created() == Counter(names(1))


def manifest(**spec: Any) -> str:
    job = {"template": {"name": "t"}, "profiles": ["p"]}
    whole = {"jobTemplate": {"spec": job}, **spec}
    return yaml.safe_dump(
        {"apiVersion": "comfyard.io/v1alpha1", "kind": "GenerationSweep", "metadata": {"name": "x"}, "spec": whole}
    )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "exactly one list of parameter sets must be set: matrix, sets"),
    ({"matrix": seeds(1), "sets": [{}]}, "exactly one list of parameter sets must be set: matrix, sets"),
    ({"matrix": []}, "spec.matrix in body should have at least 1 items"),
    ({"matrix": [axis("a", [])]}, "spec.matrix[0].values in body should have at least 1 items"),
    ({"matrix": [axis("a", [1]), axis("a", [2])]}, "spec.matrix[1]: Duplicate value"),
    ({"sets": [{}] * 10_001}, "spec.sets: Too many: 10001: must have at most 10000 items"),
    ({"sets": [{}], "parallelism": 0}, "spec.parallelism in body should be greater than or equal to 1"),
    ({"sets": [{}], "maxFailures": -1}, "spec.maxFailures in body should be greater than or equal to 0"),
    ({"sets": [{}], "jobTemplate": {"spec": {"profiles": ["p"]}}}, "spec.jobTemplate.spec.template: Required value"),
    (
        {
            "sets": [{}],
            "jobTemplate": {"spec": {"template": {"name": "t"}, "profiles": ["p"], "inputs": [{"parameter": "photo"}]}},
        },
        "exactly one source of the file must be set: url, s3, claim, job",
    ),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED)
def test_refused(kubectl: Kubectl, spec: dict[str, Any], message: str) -> None:
    assert message in kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest(**spec), ok=False)


@pytest.mark.parametrize(
    "spec",
    [
        {"matrix": [axis("a", [1, 0.5, "x", True])]},
        {"sets": [{}, {"a": 1}], "parallelism": 10_000, "maxFailures": 0, "suspend": True},
        {"sets": [{"prompt": "x" * 20}] * 10_000},
    ],
)
def test_taken(kubectl: Kubectl, spec: dict[str, Any]) -> None:
    kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest(**spec))


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("sets", {"sets": [{"a": 2}]}),
        ("sets", {"sets": [{"a": 1}, {"a": 1}]}),
        ("sets", {"sets": None, "matrix": seeds(1)}),
        ("jobTemplate", {"jobTemplate": {"spec": {"priority": 3}}}),
        ("jobTemplate", {"jobTemplate": {"metadata": {"labels": {"a": "b"}}}}),
    ],
)
def test_an_order_does_not_change(kubectl: Kubectl, namespace: str, field: str, change: dict[str, Any]) -> None:
    kubectl("-n", namespace, "create", "-f", "-", stdin=manifest(sets=[{"a": 1}]))
    patch = yaml.safe_dump({"spec": change})
    said = kubectl("-n", namespace, "patch", "cgs", "x", "--type=merge", "-p", patch, ok=False)
    assert f"{field} is immutable: its jobs run once; create another sweep" in said


@pytest.mark.parametrize("change", [{"suspend": True}, {"parallelism": 3}, {"maxFailures": 7}])
def test_what_may_change(kubectl: Kubectl, namespace: str, change: dict[str, Any]) -> None:
    kubectl("-n", namespace, "create", "-f", "-", stdin=manifest(sets=[{"a": 1}]))
    kubectl("-n", namespace, "patch", "cgs", "x", "--type=merge", "-p", yaml.safe_dump({"spec": change}))
