"""The scheduler under 200 random loads, from no server at all until nothing is left to do.

What must hold after every pass (no busy server stopped, limits, queue depth) is asserted by the world itself.
"""

from collections import Counter
from functools import cache

import pytest

from comfyard.controller.affinity import PASS_SECONDS
from tests.simulation.patterns import STARTUP_SECONDS, Pattern, pattern

HORIZON = 100_000.0
"""Seconds. Nothing that is left to itself goes on for so long."""


@cache
def played(seed: int) -> Pattern:
    load = pattern(seed)
    load.world.run(until=HORIZON)
    return load


@pytest.mark.parametrize("seed", range(200))
def test_every_job_runs_once_and_the_servers_go(seed: int) -> None:
    load = played(seed)
    world, lost = load.world, Counter(load.losses)
    assert {run.completions for run in world.runs.values()} == {1}
    assert {key: run.executions for key, run in world.runs.items()} == {key: 1 + lost[key] for key in world.runs}
    left = Counter(machine.server.profile for machine in world.machines.values())
    assert all(left[name] <= profile.spec.pool.min_servers for name, profile in world.profiles.items())
    assert world.time < HORIZON
    assert not world.clock.pending, "nothing would happen any more"


@pytest.mark.parametrize("seed", range(200))
def test_nobody_waits_beyond_the_bound(seed: int) -> None:
    world = played(seed).world
    assert world.longest_pass <= PASS_SECONDS
    everything = sum(run.executions * (run.job.seconds + world.costs.switch) for run in world.runs.values())
    starts = world.counts["grown"] * STARTUP_SECONDS
    assert max(run.waited for run in world.runs.values()) <= everything + starts


@pytest.mark.parametrize("seed", range(0, 200, 40))
def test_a_seed_makes_one_history(seed: int) -> None:
    again = pattern(seed).world
    again.run(until=HORIZON)
    histories = [
        [(key, run.began, run.ended) for key, run in world.runs.items()] for world in (again, played(seed).world)
    ]
    assert histories[0] == histories[1]
