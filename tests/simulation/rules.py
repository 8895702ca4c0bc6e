"""What holds after every pass of the scheduler."""

from collections import Counter
from collections.abc import Mapping, Sequence

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.pools import Server
from comfyard.controller.snapshot import Limits


def check(
    there: Sequence[Server], profiles: Mapping[str, HardwareProfile], limits: Mapping[str, Limits], before: Counter[str]
) -> Counter[str]:
    """Servers and jobs are within their limits; returns how many servers of each profile there are.

    Args:
        there: Servers that do not leave.
        profiles: By name.
        limits: By namespace.
        before: How many there were. Where maxServers was lowered, they become fewer as they become idle.
    """
    of_profile = Counter(server.profile for server in there)
    of_namespace = Counter(server.namespace for server in there)
    jobs: Counter[str] = Counter()
    for server in there:
        jobs[server.namespace] += len(server.jobs)
    for name, profile in profiles.items():
        assert of_profile[name] <= max(profile.spec.pool.max_servers, before[name])
    for namespace, limit in limits.items():
        assert limit.servers is None or of_namespace[namespace] <= limit.servers
        assert limit.jobs is None or jobs[namespace] <= limit.jobs
    return of_profile
