"""What the status of a bundle says of its files, and when it is worth a write. Pure."""

from collections import deque
from collections.abc import Callable
from typing import Any

from comfyard.api.model_bundle import ModelBundle, ModelBundleStatus, ModelStatus
from comfyard.store.errors import PathConflictError
from comfyard.store.wants import Want
from comfyard.sync.states import FileState, failed
from comfyard.sync.wanted import Wanted

Fields = dict[str, Any]
"""The fields of a bundle's status that are ours, in JSON form."""

_MOVING = frozenset({"bytes", "bytesPerSecond", "etaSeconds"})
_MOVING_IN_ROW = frozenset({"bytes", "size", "message"})
_WINDOW_SECONDS = 10.0

AT_ONCE_SECONDS = 0.2
"""Between two writes when states change: many small files that become ready together are one write."""


def states_of(
    bundle: ModelBundle, wanted: Wanted, state_of: Callable[[Want], FileState | None]
) -> list[tuple[str, FileState]] | None:
    """The state of each of a bundle's files, by path in order; None while one has not been looked at yet."""
    found: list[tuple[str, FileState]] = []
    for model in bundle.spec.models:
        conflict = wanted.conflicts.get(model.path)
        state = failed(PathConflictError(conflict)) if conflict else state_of(wanted.files[model.path])
        if state is None:
            return None
        found.append((model.path, state))
    return found


def all_settled(states: list[tuple[str, FileState]] | None) -> bool:
    """Whether nothing is left to do for these."""
    return states is not None and all(state.settled for _, state in states)


def fields_of(generation: int, states: list[tuple[str, FileState]], bytes_per_second: int) -> Fields:
    """The fields for a status.

    Args:
        generation: Of the spec that the states tell of.
        states: By path.
        bytes_per_second: What comes in for this bundle.
    """
    rows = [state.row(path) for path, state in states]
    total = sum(row.size or 0 for row in rows if row.state != "Failed")
    there = sum(row.bytes for row in rows)
    moving = bytes_per_second if any(row.state == "Fetching" for row in rows) else 0
    return {
        "syncedGeneration": generation,
        "files": {"total": len(rows), "ready": sum(row.state == "Ready" for row in rows)},
        "bytes": {"total": total, "ready": there},
        "bytesPerSecond": moving,
        "etaSeconds": eta(rows, moving),
        "models": [row.to_api() for row in rows],
    }


def eta(rows: list[ModelStatus], bytes_per_second: int) -> int | None:
    """Seconds until the last file is there; None when the size of one is not known, or nothing moves."""
    open_rows = [row for row in rows if row.state in {"Pending", "Fetching"}]
    if not open_rows or not bytes_per_second or any(row.size is None for row in open_rows):
        return None
    return -(-sum(max(0, (row.size or 0) - row.bytes) for row in open_rows) // bytes_per_second)


def fields_in(status: ModelBundleStatus) -> Fields:
    """Our fields of a status as it was read, in the same form as `fields_of`."""
    return {
        "syncedGeneration": status.synced_generation,
        "files": status.files.to_api(),
        "bytes": status.bytes.to_api(),
        "bytesPerSecond": status.bytes_per_second,
        "etaSeconds": status.eta_seconds,
        "models": [row.to_api() for row in status.models],
    }


def wait_before_write(written: Fields, now: Fields, since_write: float, every: float) -> float | None:
    """Seconds until a write is due; None when there is nothing to write.

    Args:
        written: What the API server has.
        now: What it should have.
        since_write: Seconds since the last write.
        every: Seconds between writes while only bytes move.
    """
    if written == now:
        return None
    least = every if _still(written) == _still(now) else AT_ONCE_SECONDS
    return max(0.0, least - since_write)


def _still(fields: Fields) -> Fields:
    """The fields without what moves all the time."""
    rows = [{k: v for k, v in row.items() if k not in _MOVING_IN_ROW} for row in fields["models"]]
    return {**{k: v for k, v in fields.items() if k not in _MOVING}, "models": rows}


class Speed:
    """Bytes per second over the last seconds."""

    def __init__(self, window: float = _WINDOW_SECONDS) -> None:
        self._window = window
        self._samples: deque[tuple[float, int]] = deque()

    def sample(self, now: float, received: int) -> int:
        """Take a reading of a counter, and say how fast it runs. A counter that goes back starts anew."""
        if self._samples and received < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now, received))
        while now - self._samples[0][0] > self._window:
            self._samples.popleft()
        first, before = self._samples[0]
        return round((received - before) / (now - first)) if now > first else 0
