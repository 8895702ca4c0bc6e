"""Who has used how much lately: what decides between namespaces that ask for the same servers."""

from datetime import datetime

HALF_LIFE_SECONDS = 3600
"""What was used an hour ago counts half. Long enough to remember a morning's burst, short enough to forgive it."""

_FORGOTTEN = 0.5
"""Fewer GPU seconds than this decide nothing."""


class Usage:
    """GPU seconds by namespace, which count less the longer ago they were used."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, datetime]] = {}

    def add(self, namespace: str, gpu_seconds: float, at: datetime) -> None:
        """Count what was used until then. The order of calls makes no difference."""
        used, since = self._used.get(namespace, (0.0, at))
        later = max(at, since)
        self._used[namespace] = (_decayed(used, since, later) + _decayed(gpu_seconds, at, later), later)

    def of(self, namespace: str, now: datetime) -> float:
        """What of it counts now."""
        used, since = self._used.get(namespace, (0.0, now))
        return _decayed(used, since, now)

    def snapshot(self, now: datetime) -> dict[str, float]:
        """What counts now, of all namespaces where that is more than nothing."""
        found = {namespace: self.of(namespace, now) for namespace in self._used}
        return {namespace: used for namespace, used in found.items() if used >= _FORGOTTEN}


def _decayed(used: float, since: datetime, now: datetime) -> float:
    passed = max(0.0, (now - since).total_seconds())
    return float(used * 0.5 ** (passed / HALF_LIFE_SECONDS))
