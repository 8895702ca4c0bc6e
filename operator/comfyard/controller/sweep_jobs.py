"""The jobs of a sweep as it sees them, and counted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from comfyard.api.conditions import COMPLETE, FAILED
from comfyard.api.generation_sweep import GenerationSweep
from comfyard.api.meta import FINALIZER_SWEEP, LABEL_SWEEP
from comfyard.controller.indexes import compress, expand
from comfyard.controller.resources.sweep_job import index_of
from comfyard.kube.kinds import GENERATION_SWEEP, Obj, name_of
from comfyard.workflow.sweeps import total_of

_QUOTE = 512
"""Characters of a job's message that are told with the sweep's."""


@dataclass(frozen=True)
class Child:
    """A job as its sweep sees it.

    Attributes:
        owner: The uid of its controller; empty when it has none.
        index: Which job of that it is; None when its name tells none.
        outcome: Complete or Failed once it is finished.
        message: What its status says.
        held: Whether it carries the sweep's finalizer.
    """

    name: str
    owner: str = ""
    index: int | None = None
    outcome: str = ""
    message: str = ""
    suspended: bool = False
    deleting: bool = False
    held: bool = False


def observe_child(job: Obj) -> Child:
    """Read a job. Cheap, as it is done for every event of every job of a sweep."""
    meta, status = job["metadata"], job.get("status", {})
    owner = _controller(job) or {}
    so = (c["type"] for c in status.get("conditions") or [] if c["status"] == "True")
    return Child(
        name=name_of(job),
        owner=str(owner.get("uid", "")),
        index=index_of(str(owner.get("name", "")), name_of(job)),
        outcome=next((kind for kind in so if kind in {COMPLETE, FAILED}), ""),
        message=str(status.get("message", "")),
        suspended=bool(job["spec"].get("suspend")),
        deleting=bool(meta.get("deletionTimestamp")),
        held=FINALIZER_SWEEP in (meta.get("finalizers") or []),
    )


def sweep_of(job: Obj) -> str | None:
    """The name of the sweep that looks after a job; None when none does.

    A job that has lost its owner, as with `kubectl delete --cascade=orphan`, still carries the finalizer, which
    somebody must take away: the sweep of its label, or nobody's (the empty name).
    """
    meta = job["metadata"]
    owner = _controller(job)
    if owner and owner.get("kind") == GENERATION_SWEEP.kind:
        return str(owner["name"])
    if FINALIZER_SWEEP in (meta.get("finalizers") or []):
        return str((meta.get("labels") or {}).get(LABEL_SWEEP, ""))
    return None


def _controller(job: Obj) -> Mapping[str, Any] | None:
    return next((o for o in job["metadata"].get("ownerReferences") or [] if o.get("controller")), None)


class Tally:
    """The jobs of a sweep, counted: what its status says, and what has ended since.

    Attributes:
        completed: Numbers of the jobs that are Complete.
        failed: Numbers of the jobs that have Failed.
        live: Jobs that are there and not finished.
        active: Those of them that are not being deleted.
    """

    def __init__(self, sweep: GenerationSweep, children: Iterable[Child]) -> None:
        self.total = total_of(sweep.spec)
        self.completed = set(expand(sweep.status.completed_indexes))
        self.failed = set(expand(sweep.status.failed_indexes))
        self._counted = frozenset(self.completed | self.failed)
        self._by_index: dict[int, Child] = {}
        self._others: list[Child] = []
        for child in children:
            if child.index is None or child.owner != sweep.metadata.uid:
                self._others.append(child)
                continue
            self._by_index[child.index] = child
            if child.outcome and child.index not in self._counted:
                (self.completed if child.outcome == COMPLETE else self.failed).add(child.index)
        live = {index for index, c in self._by_index.items() if not c.outcome} - self._counted
        self.live = [self._by_index[index] for index in sorted(live)]
        self.active = [c for c in self.live if not c.deleting]

    @property
    def pending(self) -> int:
        """How many are not there and have not ended."""
        return self.total - len(self.completed) - len(self.failed) - len(self.active)

    @property
    def is_over(self) -> bool:
        """Whether every job has ended."""
        return len(self.completed) + len(self.failed) == self.total

    def first_failure(self) -> str:
        """What the first failed job says that is still there, in brackets; empty when none says anything."""
        there = (self._by_index[index] for index in sorted(self.failed) if index in self._by_index)
        return next((f" ({c.name}: {c.message[:_QUOTE]})" for c in there if c.message), "")

    def to_make(self, parallelism: int, most: int) -> list[int]:
        """Numbers of the next jobs. One that is being deleted keeps its place, and its name, until it is gone."""
        free = max(0, min(most, parallelism - len(self.live)))
        taken = self._by_index.keys() | self.completed | self.failed
        return list(islice((index for index in range(self.total) if index not in taken), free))

    def to_release(self, most: int, *, all_of_them: bool = False) -> list[str]:
        """Jobs that need the finalizer no more: their end stands in the status, or they go without one.

        Those that carry it and are not this sweep's are among them: an earlier sweep of that name left them.
        """
        own = (
            c
            for index, c in self._by_index.items()
            if all_of_them or (index in self._counted if c.outcome else c.deleting)
        )
        return [c.name for c in islice((c for c in (*own, *self._others) if c.held), most)]

    def counts(self) -> dict[str, Any]:
        """The part of the status that tells them."""
        return {
            "total": self.total,
            "pending": self.pending,
            "active": len(self.active),
            "succeeded": len(self.completed),
            "failed": len(self.failed),
            "completedIndexes": compress(self.completed),
            "failedIndexes": compress(self.failed),
        }
