"""What the scheduler promises of model switches and of fairness, as `make bench` measures it."""

from comfyard.controller.affinity import PASS_SECONDS
from comfyard.controller.scheduler import schedule
from hack.bench import fairness, trace
from tests.simulation.orders import Job


def test_models_are_switched_a_fifth_as_often_as_first_in_first_out() -> None:
    for seed in (trace.SEED, *trace.OTHER_SEEDS[:3]):
        jobs = trace.orders(seed, trace.LOAD)
        ours, fifo = trace.play(jobs, schedule), trace.play(jobs, trace.first_in_first_out)
        assert ours.switches <= fifo.switches / 5
        assert ours.longest_pass_seconds <= PASS_SECONDS
        assert ours.max_wait_seconds < fifo.max_wait_seconds
        assert trace.fewest_switches(jobs, ours.max_wait_seconds) <= ours.switches


def orders(*comings: tuple[str, float]) -> list[Job]:
    pool = trace.orders(0, 1)[0].demand.pool
    return [Job.of(f"job-{n}", pool, at, 1, models=frozenset({name})) for n, (name, at) in enumerate(comings)]


def test_the_fewest_switches_of_small_traces() -> None:
    assert trace.fewest_switches(orders(("a", 0), ("b", 0), ("a", 100)), 10) == 2
    assert trace.fewest_switches(orders(("a", 0), ("b", 0), ("c", 50), ("a", 100), ("b", 100)), 10) == 4
    assert trace.fewest_switches(orders(("a", 0), ("b", 0), ("c", 50), ("a", 55), ("b", 55)), 1) == 4
    assert trace.fewest_switches(orders(("a", 0), ("b", 0), ("c", 50), ("a", 55), ("b", 55)), 10) == 3


def test_a_large_tenant_does_not_keep_small_ones_waiting() -> None:
    jobs = fairness.orders()
    ours, fifo = fairness.waits_of(fairness.play(jobs)), fairness.first_in_first_out(jobs)
    for tenant in set(ours) - {fairness.LARGE}:
        assert max(ours[tenant]) <= max(fifo[tenant]) / 10
    assert max(ours[fairness.LARGE]) <= 1.2 * max(fifo[fairness.LARGE])
