"""What the tests of the scheduler share: pools, demands and servers in a few words."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from comfyard.api.conditions import timestamp
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.pools import Pool, Server, shape_of
from comfyard.controller.queue import Demand, Queue
from comfyard.controller.scheduler import schedule
from comfyard.controller.snapshot import Schedule, Snapshot
from tests.builders import NOW, profile

WAITED = 30
"""Seconds that a job waits here if nothing else is said."""
STARTUP_SECONDS = 600


def hardware(name: str = "l4", **pool: Any) -> HardwareProfile:
    """A profile with two servers at most, which go after a minute."""
    server = {"image": "comfyui:1", "startupSeconds": STARTUP_SECONDS}
    return profile(name, server=server, pool={"maxServers": 2, "idleSeconds": 60, **pool})


def pool(namespace: str = "studio", claim: str = "models", profile_name: str = "l4") -> Pool:
    return Pool(namespace, profile_name, (claim,), "results")


def demand(name: str, where: Pool | None = None, waited: float = WAITED, models: str = "", **more: Any) -> Demand:
    """A job that was created so many seconds ago. Its models are words."""
    where = where or pool()
    created = timestamp(NOW - timedelta(seconds=waited))
    kinds = frozenset(models.split())
    return Demand((where.namespace, name), where, more.pop("priority", 0), created, models=kinds, **more)


def demands(count: int, where: Pool | None = None, prefix: str = "job", **more: Any) -> list[Demand]:
    return [demand(f"{prefix}-{number:05}", where, **more) for number in range(count)]


def server(
    name: str,
    where: Pool | None = None,
    *,
    jobs: int = 0,
    idle: float = 20,
    models: str = "",
    warm: float | None = 60,
    of: HardwareProfile | None = None,
    **more: Any,
) -> Server:
    """A ready server of the present shape: idle for so many seconds, or with jobs; with its models for so many."""
    where = where or pool()
    return Server(
        **{
            "namespace": where.namespace,
            "name": name,
            "pool": where.name,
            "profile": where.profile,
            "ready": True,
            "leaving": False,
            "shape": shape_of(of or hardware(where.profile)),
            "jobs": tuple((where.namespace, f"{name}-{number}") for number in range(jobs)),
            "models": frozenset(models.split()),
            "warm_since": NOW - timedelta(seconds=warm) if models and warm is not None else None,
            "idle_since": None if jobs else NOW - timedelta(seconds=idle),
            **more,
        }
    )


def starting(name: str, where: Pool | None = None, since: float = 10, **more: Any) -> Server:
    return server(name, where, ready=False, idle_since=None, unready_since=NOW - timedelta(seconds=since), **more)


def snapshot(
    waiting: Iterable[Demand] = (),
    servers: Iterable[Server] = (),
    profiles: Mapping[str, HardwareProfile] | None = None,
    **more: Any,
) -> Snapshot:
    queue = Queue()
    for each in waiting:
        queue.put(each)
    return Snapshot(queue, list(servers), profiles or {"l4": hardware()}, **more)


def decide(waiting: Iterable[Demand] = (), servers: Iterable[Server] = (), **more: Any) -> Schedule:
    return schedule(snapshot(waiting, servers, **more), NOW)


def key(where: Pool) -> tuple[str, str]:
    return (where.namespace, where.name)


def assigned(result: Schedule) -> dict[str, str]:
    """Names of jobs and servers."""
    return {name: server.name for (_, name), server in result.assign.items()}


def retired(result: Schedule) -> dict[str, str]:
    """Names of servers, and why they go."""
    return {each.server.name: str(each.reason) for each in result.retire}
