"""Why the jobs of a pool wait, for a person. The words change only with the reason: each change of them is a write."""

from comfyard.api.meta import LABEL_MAX_JOBS, LABEL_MAX_SERVERS
from comfyard.controller.fleet import Fleet
from comfyard.controller.pool_states import PoolState, is_starting


def why_waiting(fleet: Fleet, state: PoolState, jobs_left: int | None) -> str:
    """The reason that the person who waits can do something about, first.

    Args:
        fleet: All servers, after this pass.
        state: A pool that has more jobs than got a server.
        jobs_left: How many more jobs of its namespace may have a server; None: no limit.
    """
    limits, name = fleet.limits(state.namespace), state.profile_name
    if jobs_left == 0:
        return f"{limits.jobs} jobs of the namespace have a server (label {LABEL_MAX_JOBS} of the namespace)"
    starting = sorted((s for s in state.servers if is_starting(s)), key=lambda s: s.name)
    trouble = next((s.trouble for s in starting if s.trouble), None)
    if starting or fleet.ordered[state.key]:
        return f"a server of profile {name} is starting" + (f": {trouble}" if trouble else "")
    if not fleet.may_start(state):
        return f"a server of profile {name} could not be started; the next one comes after a while"
    if fleet.profile_left(state) <= 0:
        return f"all {state.profile.spec.pool.max_servers} servers of profile {name} are busy (pool.maxServers)"
    left = fleet.namespace_left(state.namespace)
    if left is not None and left <= 0:
        return f"all {limits.servers} servers of the namespace are busy (label {LABEL_MAX_SERVERS} of the namespace)"
    return f"the servers of profile {name} are busy with other jobs, and are free before another could start"
