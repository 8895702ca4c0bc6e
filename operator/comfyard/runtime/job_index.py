"""The questions that are asked of all jobs at once, answered without reading them all."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from comfyard.api.attempts import parse_time
from comfyard.api.generation_job import GenerationJob
from comfyard.controller.pools import Load
from comfyard.kube.kinds import Obj
from comfyard.runtime.job_facts import Facts, digests_of, facts_of

Key = tuple[str, str]
"""Namespace and name, of a job or of the pod of a server."""

_NOTHING = Load()


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that has ended.

    Attributes:
        server: Where.
        rendered: Whether it has made what was ordered.
        seconds: How long the server worked on it.
        at: When it ended.
    """

    server: Key
    rendered: bool
    seconds: float
    at: datetime


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was counted of a job, finished ones included."""

    uid: str
    attempts: int = 0
    gpu_seconds: int = 0


class JobIndex:
    """The questions that scheduling asks of all jobs, answered without reading them all.

    Attributes:
        unfinished: Jobs that are neither Complete nor Failed.
        assigned: Those of them that have a server.
        loads: What jobs tell of servers, by the server's namespace and name.
        takers: Unfinished jobs that take an input from a job, by that one.
        losers: Unfinished jobs whose last attempt was lost with a server, by the server's namespace and name.
    """

    def __init__(self) -> None:
        self.unfinished: dict[Key, Facts] = {}
        self.assigned: dict[Key, Facts] = {}
        self.loads: dict[Key, Load] = {}
        self.takers: dict[Key, set[Key]] = {}
        self.losers: dict[Key, set[Key]] = {}
        self._unassigned: dict[tuple[str, ...], dict[Key, None]] = {}
        self._revisions: Counter[Key] = Counter()
        self._secrets: dict[str, Counter[str]] = {}
        self._seen: dict[Key, _Seen] = {}
        self._warm_at: dict[Key, str] = {}

    def update(self, key: Key, obj: Obj | None, job: GenerationJob | None) -> tuple[list[Ended], int]:
        """Take in one job, or its absence.

        Args:
            key: Its key.
            obj: As it is now; None: it is gone, or cannot be read.
            job: The same, read; None once it is finished.

        Returns:
            The attempts that have ended since, and the GPU seconds that they have cost.
        """
        self._forget(key)
        if obj is None:
            self._seen.pop(key, None)
            return [], 0
        news = self._count(key, obj)
        if job is not None:
            self._remember(key, job)
        return news

    def _forget(self, key: Key) -> None:
        before = self.unfinished.pop(key, None)
        if before is None:
            return
        self._index(key, before, _discard)
        if self.assigned.pop(key, None):
            server = (key[0], before.server)
            self._change(server, jobs=tuple(each for each in self.load(server).jobs if each != key))

    def _remember(self, key: Key, job: GenerationJob) -> None:
        facts = facts_of(job)
        self.unfinished[key] = facts
        self._index(key, facts, _add)
        if job.status.assignment:
            self.assigned[key] = facts
            server = (key[0], facts.server)
            self._change(server, jobs=(*self.load(server).jobs, key))
            self._warm(server, job.status.assignment.time, digests_of(job.status.receipt))

    def _count(self, key: Key, obj: Obj) -> tuple[list[Ended], int]:
        """What is new of its attempts, which stay in its status."""
        status, uid = obj.get("status", {}), obj["metadata"].get("uid", "")
        attempts = status.get("attempts") or []
        spent = (status.get("usage") or {}).get("gpuSeconds", 0)
        seen = self._seen.get(key)
        if seen is None or seen.uid != uid:
            seen = _Seen(uid)
        if attempts[seen.attempts :] or spent != seen.gpu_seconds or key not in self._seen:
            self._seen[key] = _Seen(uid, len(attempts), spent)
        ended = [self._end(key[0], each, status) for each in attempts[seen.attempts :]]
        return ended, max(0, spent - seen.gpu_seconds)

    def _end(self, namespace: str, attempt: Mapping[str, Any], status: Mapping[str, Any]) -> Ended:
        server = (namespace, str(attempt["server"]))
        began, end, load = parse_time(attempt["start"]), parse_time(attempt["end"]), self.load(server)
        if load.last_end and load.last_end <= end:
            began = max(began, load.last_end)  # before that it waited for its turn
        self._change(server, done=load.done + 1, last_end=max(end, load.last_end or end))
        digests = frozenset(m["sha256"] for m in (status.get("receipt") or {}).get("models") or ())
        self._warm(server, str(attempt["start"]), digests)
        return Ended(server, attempt["outcome"] == "Succeeded", (end - began).total_seconds(), end)

    def _warm(self, server: Key, start: str, models: frozenset[str]) -> None:
        """The models of the job that was assigned last are what the server has; one without any changes nothing."""
        if not models or start < self._warm_at.get(server, ""):
            return
        self._warm_at[server] = start
        if models != self.load(server).models:
            self._change(server, models=models, warm_since=parse_time(start))

    def load(self, server: Key) -> Load:
        """What jobs tell of one server."""
        return self.loads.get(server, _NOTHING)

    def forget_servers(self, there: Collection[Key]) -> None:
        """Forget what jobs told of servers that are gone."""
        for key in [key for key, load in self.loads.items() if key not in there and not load.jobs]:
            del self.loads[key]
            self._warm_at.pop(key, None)

    def _change(self, server: Key, **what: Any) -> None:  # noqa: ANN401 - fields of Load
        self.loads[server] = replace(self.load(server), **what)

    def _index(self, key: Key, facts: Facts, change: Callable[[dict[Key, set[Key]], Key, Key], None]) -> None:
        namespace, step = key[0], 1 if change is _add else -1
        for name in facts.sources:
            change(self.takers, (namespace, name), key)
        if facts.lost_with:
            change(self.losers, (namespace, facts.lost_with), key)
        if facts.revision:
            _tally(self._revisions, (namespace, facts.revision), step)
        for name in facts.secrets:
            _tally(self._secrets.setdefault(namespace, Counter()), name, step)
        if not facts.server:
            for group in _groups(namespace, facts):
                members = self._unassigned.setdefault(group, {})
                if change is _add:
                    members[key] = None
                else:
                    members.pop(key, None)
                if not members:
                    del self._unassigned[group]

    def is_assigned(self, key: Key) -> bool:
        """Whether a job has a server."""
        return key in self.assigned

    def revisions(self, namespace: str) -> set[str]:
        """Names of the ControllerRevisions that unfinished jobs were accepted with."""
        return {name for where, name in self._revisions if where == namespace}

    def assigned_revisions(self, namespace: str) -> set[str]:
        """Names of the ControllerRevisions that jobs with a server were accepted with."""
        return {f.revision for (where, _), f in self.assigned.items() if where == namespace and f.revision}

    def secrets(self, namespace: str) -> set[str]:
        """Names of the Secrets that unfinished jobs need, other than for inputs from other jobs."""
        return set(self._secrets.get(namespace, ()))

    def sources(self, namespace: str) -> Iterator[str]:
        """Names of the jobs that unfinished jobs take inputs from."""
        return (name for where, name in self.takers if where == namespace)

    def unassigned(self, namespace: str) -> Iterable[Key]:
        """Unfinished jobs of a namespace without a server."""
        return list(self._unassigned.get(("namespace", namespace), ()))

    def unassigned_of_template(self, template: Key) -> Iterable[Key]:
        """Likewise, those of a template."""
        return list(self._unassigned.get(("template", *template), ()))

    def unassigned_of_profile(self, profile: str) -> Iterable[Key]:
        """Likewise, those of all namespaces that name a profile."""
        return list(self._unassigned.get(("profile", profile), ()))

    def with_a_choice(self, namespace: str) -> Iterable[Key]:
        """Likewise, those of a namespace that name more than one profile."""
        return list(self._unassigned.get(("choice", namespace), ()))


def _groups(namespace: str, facts: Facts) -> Iterator[tuple[str, ...]]:
    yield ("namespace", namespace)
    yield ("template", namespace, facts.template)
    yield from (("profile", profile) for profile in facts.profiles)
    if len(facts.profiles) > 1:
        yield ("choice", namespace)


def _add(index: dict[Key, set[Key]], at: Key, key: Key) -> None:
    index.setdefault(at, set()).add(key)


def _discard(index: dict[Key, set[Key]], at: Key, key: Key) -> None:
    index[at].discard(key)
    if not index[at]:
        del index[at]


def _tally(counts: "Counter[Any]", what: object, step: int) -> None:
    counts[what] += step
    if not counts[what]:
        del counts[what]
