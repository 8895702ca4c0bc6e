"""From nothing to many servers and back; hand-overs between tenants."""

from random import Random

import pytest

from comfyard.controller.handover import MOMENT_SECONDS
from comfyard.controller.pools import Pool
from tests.builders import profile
from tests.simulation.orders import Job
from tests.simulation.world import Costs, World

STUDIO = Pool("studio", "l4", ("models",), "results")
START = 40.0
IDLE = 60
COSTS = Costs(start=(START, START), switch=0.0)


def world(most: int, least: int = 0, **more: object) -> World:
    pool = {"maxServers": most, "minServers": least, "idleSeconds": IDLE}
    return World({"l4": profile(pool=pool)}, COSTS, **more)  # type: ignore[arg-type]


def ready(where: World) -> int:
    return sum(machine.server.ready for machine in where.machines.values())


def test_a_pool_comes_from_nothing_and_goes_back_to_nothing() -> None:
    there = world(most=4)
    there.order(Job.of(f"job-{n}", STUDIO, 10, 20) for n in range(8))
    there.run(until=10 + START)
    assert ready(there) == 4
    there.run(until=10 + START + 2 * 20 + IDLE - 1)
    assert all(run.completions == 1 for run in there.runs.values())
    assert ready(there) == 4
    there.run()
    assert not there.machines
    assert there.time == pytest.approx(10 + START + 2 * 20 + IDLE + 3, abs=0.1)


def test_it_goes_back_to_what_is_to_stay() -> None:
    there = world(most=4, least=2)
    there.order(Job.of(f"job-{n}", STUDIO, 10, 20) for n in range(8))
    there.run()
    assert ready(there) == len(there.machines) == 2


def test_a_warm_pool_is_there_before_the_first_job() -> None:
    there = world(most=4, least=2, warm={"l4": STUDIO})
    there.order([Job.of("job", STUDIO, 100, 20)])
    there.run(until=99)
    assert ready(there) == 2
    there.run()
    assert there.runs["studio", "job"].waited == 0
    assert ready(there) == len(there.machines) == 2


def test_a_new_tenant_gets_its_share_as_soon_as_servers_are_idle_and_started() -> None:
    there = world(most=4)
    other = Pool("atelier", "l4", ("models",), "results")
    there.order(Job.of(f"job-{n:03}", STUDIO, 0, 30) for n in range(200))
    there.order(Job.of(f"job-{n:03}", other, 300, 30) for n in range(20))
    second_slot = 30
    there.run(until=300 + MOMENT_SECONDS + 30 + second_slot + START + 1)
    assert sum(m.server.namespace == "atelier" and m.server.ready for m in there.machines.values()) == 2
    there.run()
    assert there.counts["Yielded"] <= 4, "two to the new tenant, and back again"


@pytest.mark.parametrize(("tenants", "most", "rate"), [(2, 4, 0.15), (3, 4, 0.12), (3, 2, 0.06), (2, 1, 0.08)])
def test_hand_overs_are_few_under_steady_load(tenants: int, most: int, rate: float) -> None:
    there = world(most=most)
    random = Random(tenants * most)  # noqa: S311 - a load, not a secret
    for tenant in range(tenants):
        where, at = Pool(f"tenant-{tenant}", "l4", ("models",), "results"), 0.0
        while at < 3600:
            at += random.expovariate(rate)
            there.order([Job.of(f"job-{len(there.runs):05}", where, at, 10)])
    there.run()
    assert all(run.completions == 1 for run in there.runs.values())
    assert there.counts["Yielded"] <= len(there.runs) / 20


def test_who_orders_one_job_after_the_other_keeps_the_server() -> None:
    there = world(most=2)
    steady = Pool("atelier", "l4", ("models",), "results")
    there.order(Job.of(f"job-{n:03}", STUDIO, 0, 10) for n in range(300))
    there.order(Job.of(f"job-{n:03}", steady, 12 * n, 10) for n in range(100))
    there.run()
    assert there.counts["Yielded"] <= 3
    assert all(run.waited == 0 for (tenant, _), run in there.runs.items() if tenant == "atelier" and run.job.at > 600)
