"""The questions that are asked of all jobs at once, answered without reading them all."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from comfyard.api.attempts import parse_time
from comfyard.api.generation_job import GenerationJob
from comfyard.controller.sweep_jobs import Child, observe_child, sweep_of
from comfyard.kube.kinds import Obj

Key = tuple[str, str]
"""Namespace and name, of a job or of the pod of a server."""


class JobIndex:
    """The questions that scheduling asks of all jobs, answered without reading them all.

    Attributes:
        unfinished: Jobs that are neither Complete nor Failed.
        by_server: The job that is assigned to a server, by the server's namespace and name.
        last_end: When the last attempt on a server ended.
        takers: Unfinished jobs that take an input from a job, by that one.
        losers: Unfinished jobs whose last attempt was lost with a server, by the server's namespace and name.
    """

    def __init__(self) -> None:
        self.unfinished: dict[Key, GenerationJob] = {}
        self.by_server: dict[Key, Key] = {}
        self.last_end: dict[Key, datetime] = {}
        self.takers: dict[Key, set[Key]] = {}
        self.losers: dict[Key, set[Key]] = {}
        self._server_of: dict[Key, Key] = {}

    def update(self, key: Key, job: GenerationJob | None) -> None:
        """Take in one job, or its absence."""
        before = self.unfinished.pop(key, None)
        if before:
            self._index(key, before, _discard)
        server = self._server_of.pop(key, None)
        if server and self.by_server.get(server) == key:
            del self.by_server[server]
        if job is None:
            return
        if job.status.attempts:
            last = job.status.attempts[-1]
            at, end = (key[0], last.server), parse_time(last.end)
            self.last_end[at] = max(end, self.last_end.get(at, end))
        if job.is_finished():
            return
        self.unfinished[key] = job
        self._index(key, job, _add)
        if job.status.assignment:
            self._server_of[key] = (key[0], job.status.assignment.server)
            self.by_server[self._server_of[key]] = key

    def _index(self, key: Key, job: GenerationJob, change: Callable[[dict[Key, set[Key]], Key, Key], None]) -> None:
        for name in {given.job.name for given in job.spec.inputs if given.job}:
            change(self.takers, (key[0], name), key)
        last = job.status.attempts[-1] if job.status.attempts else None
        if last and last.failure_class == "ServerLost":
            change(self.losers, (key[0], last.server), key)

    def is_assigned(self, key: Key) -> bool:
        """Whether a job has a server."""
        return key in self._server_of

    def assigned_revisions(self, namespace: str) -> set[str]:
        """Names of the ControllerRevisions that jobs with a server were accepted with."""
        templates = (self.unfinished[key].status.template for key in self._server_of if key[0] == namespace)
        return {template.revision for template in templates if template}

    def unassigned(self, namespace: str | None = None) -> Iterable[Key]:
        """Unfinished jobs without a server, of one namespace or all."""
        for key, job in self.unfinished.items():
            if job.status.assignment is None and namespace in (None, key[0]):
                yield key


def _add(index: dict[Key, set[Key]], at: Key, key: Key) -> None:
    index.setdefault(at, set()).add(key)


def _discard(index: dict[Key, set[Key]], at: Key, key: Key) -> None:
    index[at].discard(key)
    if not index[at]:
        del index[at]


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
