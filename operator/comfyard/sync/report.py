"""What the status of a bundle says of its files, and when it is worth a write. Pure."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from comfyard.api.conditions import timestamp
from comfyard.api.model_bundle import ModelBundleStatus, ModelStatus
from comfyard.sync.states import FileState
from comfyard.sync.told import Told
from comfyard.sync.wanted import InPlace

Fields = dict[str, Any]
"""The fields of a bundle's status that are ours, in JSON form."""

_MOVING = frozenset({"bytes", "bytesPerSecond", "etaSeconds", "verifiedTime"})
_MOVING_IN_ROW = frozenset({"bytes", "size", "message", "bytesPerSecond", "etaSeconds"})
_WINDOW_SECONDS = 10.0
_ROWS = 256

AT_ONCE_SECONDS = 0.2
"""Between two writes when states change: many small files that become ready together are one write."""


def fields_of(generation: int, told: Told, speeds: Mapping[str, int], there: InPlace) -> Fields:
    """The fields for a status.

    Args:
        generation: Of the spec that is told of.
        told: The bundle's files and custom nodes.
        speeds: Bytes per second, by path.
        there: What was put in place for it: the status goes on to remember it, whatever has become of it.
    """
    files = [_row(path, state, speeds.get(path, 0), there) for path, state in told.files]
    leaving = [state.row(path) for path, state in told.leaving]
    open_rows = [row for (_, state), row in zip(told.files, files, strict=True) if not state.settled]
    moving = sum(row.bytes_per_second for row in files)
    verified = [state.verified for _, state in told.files if state.state == "Ready" and state.verified]
    return {
        "syncedGeneration": generation,
        "files": {"total": len(files), "ready": sum(row.state == "Ready" for row in files)},
        "bytes": {"total": _total(told), "ready": sum(row.bytes for row in files)},
        "bytesPerSecond": moving,
        "etaSeconds": eta(open_rows, moving),
        "models": [row.to_api() for row in (files + leaving)[:_ROWS]],
        "customNodes": [state.row(name, commit).to_api() for name, commit, state in told.nodes],
        "verifiedTime": timestamp(min(verified)) if verified and len(verified) == len(files) else None,
    }


def _row(path: str, state: FileState, speed: int, there: InPlace) -> ModelStatus:
    row = state.row(path)
    more: Fields = {"sha256": row.sha256 or there.files.get(path)}
    if row.state == "Fetching":
        more |= {"bytes_per_second": speed, "eta_seconds": eta([row], speed)}
    return row.model_copy(update=more)


def _total(told: Told) -> int:
    """Bytes of all that is there or to come, so far as sizes are known."""
    return sum(state.size or 0 for _, state in told.files if state.state != "Failed" or not state.settled)


def eta(open_rows: list[ModelStatus], bytes_per_second: int) -> int | None:
    """Seconds until the last of them is there; None when the size of one is not known, or nothing moves."""
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
        "customNodes": [row.to_api() for row in status.custom_nodes],
        "verifiedTime": status.verified_time,
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
