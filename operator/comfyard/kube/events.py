"""Events: what a person should know of an object besides what its status says now. `kubectl describe` shows them."""

import hashlib
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Literal

from comfyard.api.conditions import timestamp
from comfyard.kube.kinds import Kind, Obj, name_of, namespace_of

EventType = Literal["Normal", "Warning"]

_MESSAGE_BOUND = 1024
_NAME_BOUND = 253
_HASH_PART = 16


def build_event(
    about: Obj, kind: Kind, event_type: EventType, reason: str, message: str, component: str, now: datetime
) -> Obj:
    """The core/v1 Event, ready to create.

    Args:
        about: The object, with at least name and uid in its metadata. Events of one without a namespace are in
            `default`, where `kubectl describe` looks for them.
        kind: Of the object; what was read from a list does not say it.
        event_type: Warning when somebody should look.
        reason: One word in CamelCase.
        message: For a person; what is longer than an event may be is cut. No secrets: anybody who reads the
            namespace reads it.
        component: Who says it, such as comfyard-sync.
        now: When. The name follows from it and from what is said, so nothing is told twice at one time.
    """
    name, namespace = name_of(about), namespace_of(about)
    key = hashlib.sha256(f"{kind.kind}/{namespace}/{name} {reason} {message} {now.isoformat()}".encode())
    time = timestamp(now)
    return {
        "metadata": {
            "name": f"{name[: _NAME_BOUND - _HASH_PART - 1].rstrip('-.')}.{key.hexdigest()[:_HASH_PART]}",
            "namespace": namespace or "default",
        },
        "involvedObject": {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "name": name,
            **({"namespace": namespace} if namespace else {}),
            "uid": str(about["metadata"].get("uid", "")),
        },
        "type": event_type,
        "reason": reason,
        "message": message if len(message) <= _MESSAGE_BOUND else f"{message[: _MESSAGE_BOUND - 1]}…",
        "source": {"component": component},
        "reportingComponent": component,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def newest(events: Iterable[Obj], reasons: Collection[str]) -> Obj | None:
    """The event that was said last, of those with one of these reasons."""
    return max((event for event in events if event.get("reason") in reasons), key=_last_time, default=None)


def _last_time(event: Obj) -> str:
    """Writers fill different fields."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return str(next((time for time in times if time), event["metadata"].get("creationTimestamp", "")))
