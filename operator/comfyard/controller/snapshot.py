"""What the scheduler decides from, and what it decides."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.pools import Pool, Server
from comfyard.controller.queue import JobKey, PoolKey, Queue


@dataclass(frozen=True)
class Limits:
    """Of a namespace, from its labels; None: no limit.

    Attributes:
        jobs: That have a server at once.
        servers: Of all profiles together.
    """

    jobs: int | None = None
    servers: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """Everything that decides which job runs where.

    Attributes:
        queue: The jobs that have no server.
        servers: All server pods.
        profiles: By name.
        limits: By namespace; only those that have some.
        usage: GPU seconds by namespace, decayed, see fair_share.py.
        seconds: That a job takes lately, by pool; those that nobody knows are absent.
        warm: By profile: the pool of its warmUp template, whose servers start before the first job.
        not_before: Pools that may not grow before then, as their servers fail to start or are refused.
        broken: Pools whose servers failed to start lately, and none of which is ready.
    """

    queue: Queue
    servers: Sequence[Server]
    profiles: Mapping[str, HardwareProfile]
    limits: Mapping[str, Limits] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[PoolKey, float] = field(default_factory=dict)
    warm: Mapping[str, Pool] = field(default_factory=dict)
    not_before: Mapping[PoolKey, datetime] = field(default_factory=dict)
    broken: Container[PoolKey] = ()


class Reason(StrEnum):
    """Why a server goes."""

    OVER = "Over"
    """Its containers have ended for good."""
    UNREADY = "Unready"
    """It was not ready for the startupSeconds of its profile."""
    IDLE = "Idle"
    """It had nothing to do for the idleSeconds of its profile."""
    UNNEEDED = "Unneeded"
    """It waits for quota, and no job needs it any more."""
    OUTDATED = "Outdated"
    """Its profile has changed."""
    RECYCLED = "Recycled"
    """It has run the jobsPerServer of its profile."""
    YIELDED = "Yielded"
    """Another pool has more right to its place, or there are more servers than there may be."""


@dataclass(frozen=True)
class Retirement:
    """A server to be deleted, and why."""

    server: Server
    reason: Reason


@dataclass
class Schedule:
    """What one pass decided.

    Attributes:
        assign: Server for each job that gets one, in order of assignment: a server may get several jobs.
        grow: One entry for each server to be made.
        retire: Servers to be deleted; none of them has a job.
        blocked: By pool: why its jobs that are left wait, for a person. The words change only with the reason.
        wake_after: Seconds until something here changes by time alone.
    """

    assign: dict[JobKey, Server] = field(default_factory=dict)
    grow: list[Pool] = field(default_factory=list)
    retire: list[Retirement] = field(default_factory=list)
    blocked: dict[PoolKey, str] = field(default_factory=dict)
    wake_after: float | None = None

    def wake_in(self, seconds: float) -> None:
        """Come back in so many seconds at the latest."""
        self.wake_after = seconds if self.wake_after is None else min(seconds, self.wake_after)
