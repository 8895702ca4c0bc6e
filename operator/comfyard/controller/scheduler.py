"""Which job runs where, which pools grow, which servers go: a pure function over a snapshot."""

from collections import Counter
from datetime import datetime

from comfyard.controller.affinity import Line, Pairing, Taker
from comfyard.controller.fleet import Fleet
from comfyard.controller.grants import grant
from comfyard.controller.handover import hand_over
from comfyard.controller.pool_states import PoolState
from comfyard.controller.queue import Demand
from comfyard.controller.retirement import retire_failed, retire_idle, retire_unneeded
from comfyard.controller.snapshot import Limits, Reason, Retirement, Schedule, Snapshot
from comfyard.controller.waiting_reasons import why_waiting

__all__ = ["Demand", "Limits", "Reason", "Retirement", "Schedule", "Snapshot", "schedule"]


def schedule(snapshot: Snapshot, now: datetime) -> Schedule:
    """Decide. Changes neither the snapshot nor its queue, and looks at groups and servers, never at all jobs."""
    fleet = Fleet.observe(snapshot, now)
    retire_failed(fleet)
    hand_over(fleet, grant(fleet.pools, snapshot, now))
    left = _jobs_left(fleet)
    for state in _by_right(fleet):
        given = _assign(fleet, state, left.get(state.namespace))
        if state.namespace in left:
            left[state.namespace] -= given
        if given < state.waiting:
            fleet.result.blocked[state.key] = why_waiting(fleet, state, left.get(state.namespace))
    retire_unneeded(fleet)
    retire_idle(fleet)
    return fleet.result


def _jobs_left(fleet: Fleet) -> dict[str, int]:
    """How many more jobs may have a server, of each namespace that has a limit."""
    running: Counter[str] = Counter()
    for server in fleet.snapshot.servers:
        running[server.namespace] += len(server.jobs)
    limits = fleet.snapshot.limits.items()
    return {name: max(0, limit.jobs - running[name]) for name, limit in limits if limit.jobs is not None}


def _by_right(fleet: Fleet) -> list[PoolState]:
    """Pools with waiting jobs, in the order of their first ones: it counts where a namespace has a limit."""
    firsts = [(first.order, key) for key, state in fleet.pools.items() if (first := state.first)]
    return [fleet.pools[key] for _, key in sorted(firsts)]


def _assign(fleet: Fleet, state: PoolState, left: int | None) -> int:
    """Give jobs of a pool to its servers; returns how many."""
    spec = state.profile.spec.pool
    takers = [Taker.of(server, spec.queue_depth, spec.jobs_per_server) for server in state.takers()]
    takers = [taker for taker in takers if taker.room > 0]
    most = state.waiting if left is None else left
    if not takers or not most:
        return 0
    lines = [Line(group, index) for index, group in enumerate(state.groups)]
    pairing = Pairing(lines, takers, fleet.snapshot.seconds.get(state.key), most, fleet.now)
    given = 0
    for demand, server in pairing.run():
        fleet.assign(demand.job, server)
        given += 1
    return given
