"""A pool that comes from nothing and goes back to nothing: seconds by step on the cluster, and loads of all kinds."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from comfyard.controller import pods
from comfyard.kube.kinds import Obj
from hack.bench.installed import Studio, studio, until
from hack.cluster.process import say
from tests.simulation.patterns import pattern

SERVERS = 2
JOBS = 6
IDLE_SECONDS = 5
STEP_SECONDS = 0.1
STEPS = 20
"""Of each of these jobs."""

PATTERNS = 20
SIMULATED_PATTERNS = 200
SEED = 6
_HORIZON_SECONDS = 100_000.0
_PATIENCE_SECONDS = 180.0

Steps = Mapping[str, Callable[[Obj], bool]]
"""What an object has reached, by words for people, in its order."""


def _runs(pod: Obj) -> bool:
    statuses = pods.container_statuses(pod)
    return bool(statuses) and all("running" in each.get("state", {}) for each in statuses)


COMING: Steps = {
    "server pod created": lambda _: True,
    "server pod has a node": lambda pod: bool(pod["spec"].get("nodeName")),
    "its containers run": _runs,
    "server ready": pods.is_ready,
}
WORKING: Steps = {
    "job runs": lambda job: bool(job.get("status", {}).get("startTime")),
    "job complete": lambda job: job.get("status", {}).get("state") == "Complete",
}
LEAVING: Steps = {"server told to stop": pods.is_deleting}
GONE = "server pod gone"


class Timeline:
    """When each object was first seen at each step, in seconds since the order."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._seen: dict[str, dict[str, float]] = {step: {} for step in (*COMING, *WORKING, *LEAVING, GONE)}

    def see(self, steps: Steps, objects: Mapping[str, Obj]) -> None:
        """Take in objects as they are now."""
        for name, obj in objects.items():
            for step, reached in steps.items():
                if reached(obj):
                    self._note(step, name)

    def see_servers(self, there: Mapping[str, Obj]) -> bool:
        """Take in all servers as they are now; returns whether there were some, and they are gone."""
        self.see({**COMING, **LEAVING}, there)
        known = self._seen[next(iter(COMING))]
        for name in known.keys() - there.keys():
            self._note(GONE, name)
        return bool(known) and not there

    def _note(self, step: str, name: str) -> None:
        self._seen[step].setdefault(name, round(time.monotonic() - self._began, 1))

    def first_and_last(self) -> dict[str, dict[str, float]]:
        """Seconds of the first and of the last object at each step."""
        return {step: {"first": min(at.values()), "last": max(at.values())} for step, at in self._seen.items()}


async def scaling() -> dict[str, Any]:
    """From nothing and back once, step by step; then as often as random bursts and pauses make it so."""
    say(f"scaling: {JOBS} jobs on a pool of 0 to {SERVERS} servers of the cluster, then {PATTERNS} random loads")
    async with studio({"maxServers": SERVERS, "idleSeconds": IDLE_SECONDS}, STEP_SECONDS) as here:
        timeline = await from_nothing_and_back(here)
        here.change_pool(maxServers=SERVERS + 1, idleSeconds=1)
        names = await random_loads(here)
        attempts = {name: here.jobs.objects[name]["status"]["attempts"] for name in names}
    return {
        "jobs": JOBS,
        "servers": SERVERS,
        "idle_seconds": IDLE_SECONDS,
        "seconds_by_step": timeline.first_and_last(),
        "random_loads_on_the_cluster": {
            "loads": PATTERNS,
            "jobs": len(names),
            "jobs_lost": sum(each[-1]["outcome"] != "Succeeded" for each in attempts.values()),
            "renderings_stopped_by_us": sum(len(each) - 1 for each in attempts.values()),
        },
        "random_loads_in_the_simulation": simulated_loads(),
    }


async def from_nothing_and_back(here: Studio) -> Timeline:
    """Some jobs for a pool without servers, until it is without servers again."""
    names = [f"job-{index}" for index in range(JOBS)]
    timeline = Timeline()

    def complete() -> bool:
        timeline.see(WORKING, here.jobs.objects)
        return here.are_complete(names)

    async with asyncio.TaskGroup() as group:
        group.create_task(until(here.jobs, complete, _PATIENCE_SECONDS))
        group.create_task(until(here.pods, lambda: timeline.see_servers(here.servers()), _PATIENCE_SECONDS))
        for name in names:
            await here.order(name, STEPS)
    return timeline


async def random_loads(here: Studio) -> Sequence[str]:
    """Bursts and pauses at random on servers that go after a second; returns the names of the jobs, all complete."""
    random = Random(SEED)  # noqa: S311 - a load, not a secret
    names: list[str] = []
    for load in range(PATTERNS):
        for each in range(random.randint(1, 4)):
            names.append(f"load-{load}-{each}")
            await here.order(names[-1], random.randint(1, 8))
        if random.random() < 0.5:  # noqa: PLR2004 - as often as not
            await here.complete(names, _PATIENCE_SECONDS)
            await asyncio.sleep(random.uniform(0, 2))  # servers go just before, and just as, the next jobs come
    await here.complete(names, _PATIENCE_SECONDS)
    return names


def simulated_loads() -> dict[str, int]:
    """The same on a virtual clock, with tenants, profiles, bundles, and servers that fail, for the scheduler alone.

    Raises AssertionError when it stops a server that has a job, or gives out more than limits allow.
    """
    say(f"  {SIMULATED_PATTERNS} random loads in the simulation")
    jobs = lost = again = 0
    for seed in range(SIMULATED_PATTERNS):
        load = pattern(seed)
        load.world.run(until=_HORIZON_SECONDS)
        runs = load.world.runs.values()
        jobs += len(runs)
        lost += sum(run.completions == 0 for run in runs)
        again += sum(run.executions for run in runs) - len(runs) - len(load.losses)
    return {"loads": SIMULATED_PATTERNS, "jobs": jobs, "jobs_lost": lost, "renderings_stopped_by_us": again}
