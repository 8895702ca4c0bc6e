"""What happens to a HardwareProfile: accepted, its servers counted, and why they do not start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from comfyard.api.conditions import READY, ConditionSet, find
from comfyard.api.hardware_profile import HardwareProfile, ServerCounts
from comfyard.controller.pool_states import is_starting
from comfyard.controller.pools import Server
from comfyard.controller.queue import PoolKey
from comfyard.controller.trouble import Trouble

WARM_UP = "WarmUp"
"""Condition type: whether servers are warmed up, if that is asked for. kstatus does not read it."""


@dataclass(frozen=True)
class Observed:
    """What a decision about one profile is made from.

    Attributes:
        servers: Those of this profile.
        queued: How many jobs wait for one.
        broken: Its pools whose servers cannot start, and why.
        cold: Why servers are not warmed up; None: they are, or need not be.
    """

    servers: Sequence[Server]
    queued: int = 0
    broken: Mapping[PoolKey, Trouble] | None = None
    cold: Trouble | None = None


@dataclass(frozen=True)
class Plan:
    """What to do about one profile: the status that should be, and what people should hear of."""

    status: dict[str, Any]
    news: Trouble | None = None


def plan(profile: HardwareProfile, status: Mapping[str, Any], seen: Observed, now: datetime) -> Plan:
    """Decide. `status` is the profile's as it was read, unknown fields included.

    A profile whose servers fail to start everywhere is not Ready, and Reconciling as they are tried again. One that
    works in a namespace is Ready: what is wrong in another one may be that namespace's alone.
    """
    here = [s for s in seen.servers if not s.leaving]
    conditions = ConditionSet(profile.status.conditions, profile.metadata.generation, now)
    (namespace, _), why = min((seen.broken or {}).items(), default=(("", ""), None), key=lambda one: one[0])
    if why and not any(server.ready for server in here):
        conditions.reconciling(why.reason, f"servers do not start (in namespace {namespace}): {why.message}")
    else:
        conditions.ready("Accepted", _remarks(here, namespace, why))
    if profile.spec.pool.warm_up:
        _tell_warm_up(conditions, seen.cold)
    elif conditions.find(WARM_UP):
        conditions.set(WARM_UP, status=False, reason="NotWanted", message="")
    after = {
        **status,
        "observedGeneration": profile.metadata.generation,
        "conditions": conditions.to_api(),
        "servers": _count(here).to_api(),
        "queued": seen.queued,
    }
    return Plan(after, _news(profile, why))


def _count(here: Sequence[Server]) -> ServerCounts:
    return ServerCounts(
        total=len(here),
        starting=sum(map(is_starting, here)),
        idle=sum(s.is_idle for s in here),
        busy=sum(bool(s.jobs) for s in here),
    )


def _remarks(here: Sequence[Server], namespace: str, why: Trouble | None) -> str:
    if why:
        return f"servers do not start in namespace {namespace}: {why.message}"
    trouble = next((f"server {s.name}: {s.trouble}" for s in here if s.trouble), None)
    return trouble or "servers start when jobs need them"


def _tell_warm_up(conditions: ConditionSet, cold: Trouble | None) -> None:
    if cold:
        conditions.set(WARM_UP, status=False, reason=cold.reason, message=f"servers are not warmed up: {cold.message}")
    else:
        conditions.set(WARM_UP, status=True, reason="Accepted", message="")


def _news(profile: HardwareProfile, why: Trouble | None) -> Trouble | None:
    """What is told once for a reason, however many servers have it."""
    before = find(profile.status.conditions, READY)
    return why if why and not (before and before.reason == why.reason) else None
