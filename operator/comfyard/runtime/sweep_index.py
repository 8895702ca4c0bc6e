"""The jobs of sweeps, by sweep."""

from collections.abc import Sequence

from comfyard.controller.sweep_jobs import Child, observe_child, sweep_of
from comfyard.kube.kinds import Obj
from comfyard.runtime.job_index import Key


class SweepIndex:
    """Jobs by the sweep that looks after them."""

    def __init__(self) -> None:
        self._children: dict[Key, dict[str, Child]] = {}
        self._sweep_of: dict[Key, Key] = {}

    def update(self, key: Key, obj: Obj | None) -> None:
        """Take in one job, or its absence."""
        before = self._sweep_of.pop(key, None)
        if before:
            self._children[before].pop(key[1])
            if not self._children[before]:
                del self._children[before]
        name = sweep_of(obj) if obj else None
        if obj and name is not None:
            self._sweep_of[key] = sweep = (key[0], name)
            self._children.setdefault(sweep, {})[key[1]] = observe_child(obj)

    def children(self, namespace: str, name: str) -> Sequence[Child]:
        """The jobs of one sweep."""
        return list(self._children.get((namespace, name), {}).values())
