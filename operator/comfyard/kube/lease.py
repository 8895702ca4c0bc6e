"""Which of several replicas leads, by a coordination.k8s.io/v1 Lease, as client-go's leader election decides it.

The times in a Lease are for people. Nobody compares his clock with that of another machine: who waits measures by his
own clock how long the Lease has looked the same, and who leads how long ago he has asked for the last renewal that was
granted. The latter gives up earlier than the former takes over, by as much as clocks may differ in speed meanwhile.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from comfyard.kube.kinds import Obj


@dataclass(frozen=True)
class Terms:
    """How a Lease is held, in seconds; the first three as in client-go.

    Attributes:
        duration: So long after its last change, as others see it, a Lease is free.
        deadline: So long after his last renewal its holder stops; less than the duration.
        renew_every: How often the holder renews.
        look_every: How often others look; a Lease that is given back is taken within that time.
        request: After so long a request counts as failed, so that another one fits before the deadline.
    """

    duration: int = 15
    deadline: float = 10
    renew_every: float = 2
    look_every: float = 1
    request: float = 5


TERMS = Terms()


@dataclass(frozen=True)
class Seen:
    """A Lease as it was read last.

    Attributes:
        lease: The object; None when there is none.
        since: From when on it has looked like this, by the clock of who reads it.
    """

    lease: Obj | None
    since: float


def holder(lease: Obj | None) -> str:
    """Who holds it; empty: nobody."""
    return str((lease or {}).get("spec", {}).get("holderIdentity") or "")


def observe(before: Seen | None, lease: Obj | None, now: float) -> Seen:
    """Take in what was read now. What others write beside the spec, such as labels, renews nothing."""
    new = Seen(lease, now)
    return replace(new, since=before.since) if before and _spec(before.lease) == _spec(lease) else new


def free_at(seen: Seen, identity: str) -> float:
    """From when on the Lease may be taken.

    One that has our own name may be taken at once: a pod's name is its own, so it was a container before this one.
    """
    if holder(seen.lease) in ("", identity):
        return seen.since
    return seen.since + float(_spec(seen.lease).get("leaseDurationSeconds") or TERMS.duration)


def next_look(seen: Seen | None, identity: str, now: float, terms: Terms) -> float:
    """Seconds until one who waits looks again: when the Lease is free, and until then whether it was given back."""
    left = free_at(seen, identity) - now if seen else 0
    return min(left, terms.look_every) if left > 0 else terms.look_every


def still_leads(renewed: float | None, now: float, terms: Terms) -> bool:
    """Whether the holder may act: nobody else can have taken the Lease yet.

    Args:
        renewed: When he asked for the last renewal that was granted; None when he does not hold the Lease.
        now: By the same clock.
        terms: Of the Lease.
    """
    return renewed is not None and now < renewed + terms.deadline


def taken(lease: Obj | None, identity: str, terms: Terms, now: datetime) -> dict[str, Any]:
    """The spec with which it is taken, or renewed by who holds it."""
    before = _spec(lease)
    time = _micro_time(now)
    kept = holder(lease) == identity
    transitions = int(before.get("leaseTransitions") or 0)
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": terms.duration,
        "acquireTime": before.get("acquireTime", time) if kept else time,
        "renewTime": time,
        "leaseTransitions": transitions if kept or lease is None else transitions + 1,
    }


def given_back(now: datetime) -> dict[str, Any]:
    """What changes in the spec so that anybody may take it at once."""
    return {"holderIdentity": None, "renewTime": _micro_time(now)}


def _spec(lease: Obj | None) -> dict[str, Any]:
    return dict((lease or {}).get("spec", {}))


def _micro_time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
