"""Servers that go by themselves: those that failed, those that need not come, and those that were idle for long."""

from collections.abc import Collection

from comfyard.controller.fleet import Fleet
from comfyard.controller.pool_states import PoolState, by_profile
from comfyard.controller.pools import Server
from comfyard.controller.snapshot import Reason, Retirement


def retire_failed(fleet: Fleet) -> None:
    """What is left of ended servers, and those that were not ready for too long, at their start or later."""
    fleet.result.retire += [Retirement(server, Reason.OVER) for server in fleet.snapshot.servers if server.over]
    for state in fleet.pools.values():
        seconds = state.profile.spec.server.startup_seconds
        for server in [s for s in state.servers if s.unready_since and not s.jobs]:
            if server.unready_since and fleet.seconds_left(server.unready_since, seconds) <= 0:
                fleet.retire(state, server, Reason.UNREADY)


def retire_unneeded(fleet: Fleet) -> None:
    """Servers that wait for quota and that no job needs any more: later they would take a GPU for nothing."""
    for state in fleet.pools.values():
        spare = fleet.total(state.profile_name) - state.profile.spec.pool.min_servers
        count = min(spare, len(state.fresh) - state.granted)
        for server in sorted((s for s in state.fresh if s.waits_for_quota), key=lambda s: s.name)[: max(0, count)]:
            fleet.retire(state, server, Reason.UNNEEDED)


def retire_idle(fleet: Fleet) -> None:
    """Those that are idle for the longest time first, while minServers of the profile stay ready."""
    taken = {(server.namespace, server.name) for server in fleet.result.assign.values()}
    for states in by_profile(fleet.pools.values()).values():
        _retire_idle_of(fleet, states, taken)


def _retire_idle_of(fleet: Fleet, states: Collection[PoolState], taken: Collection[tuple[str, str]]) -> None:
    rows = [(state, server) for state in states for server in state.servers if server.ready]
    spare = len(rows) - next(iter(states)).profile.spec.pool.min_servers
    idle = [row for row in rows if row[1].idle_since and (row[1].namespace, row[1].name) not in taken]
    for state, server in sorted(idle, key=lambda row: _last_to_go(fleet, *row))[: max(0, spare)]:
        if server.idle_since and fleet.seconds_left(server.idle_since, state.profile.spec.pool.idle_seconds) <= 0:
            fleet.retire(state, server, Reason.IDLE)


def _last_to_go(fleet: Fleet, state: PoolState, server: Server) -> tuple[bool, float, str]:
    """Those of the pool that is to be warm: one of them that goes would be made again."""
    warm = fleet.snapshot.warm.get(state.profile_name)
    idle_since = server.idle_since.timestamp() if server.idle_since else 0.0
    return (warm is not None and (warm.namespace, warm.name) == state.key, idle_since, server.name)
