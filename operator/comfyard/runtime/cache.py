"""What the API server said last, of every kind that the operator follows.

Watches feed it, and so do the answers to our own writes: a decision made right after a write sees that write, so that a
server is not started twice and a job is not assigned twice. A LIST heals what a watch has missed.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar, cast

from pydantic import ValidationError

from comfyard.api.attempts import parse_time
from comfyard.api.generation_job import GenerationJob
from comfyard.api.meta import Model
from comfyard.kube.kinds import GENERATION_JOB, MODEL_BUNDLE, Kind, Obj, name_of, namespace_of

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Model)

Key = tuple[str, str]
"""Namespace and name; the namespace of a cluster-scoped object is empty."""


def key_of(obj: Obj) -> Key:
    """The key of an object."""
    return namespace_of(obj), name_of(obj)


def version_of(obj: Obj) -> int:
    """metadata.resourceVersion, which grows (an official promise since Kubernetes 1.35, true since there is etcd)."""
    return int(obj["metadata"].get("resourceVersion", 0))


def parse(model: type[M], obj: Obj) -> M | None:
    """An object as its model; None when it cannot be read, as after a change of the schema.

    Such an object is left alone, and must not keep others from what they need.
    """
    try:
        return model.model_validate(obj)
    except ValidationError as error:
        log.warning("%s %s/%s is left alone, it cannot be read: %s", model.__name__, *key_of(obj), error)
        return None


class JobIndex:
    """The questions that scheduling asks of all jobs, answered without reading them all.

    Attributes:
        unfinished: Jobs that are neither Complete nor Failed.
        by_server: The job that is assigned to a server, by the server's namespace and name.
        last_end: When the last attempt on a server ended.
    """

    def __init__(self) -> None:
        self.unfinished: dict[Key, GenerationJob] = {}
        self.by_server: dict[Key, Key] = {}
        self.last_end: dict[Key, datetime] = {}
        self._server_of: dict[Key, Key] = {}

    def update(self, key: Key, obj: Obj | None) -> None:
        """Take in one job, or its absence."""
        self.unfinished.pop(key, None)
        server = self._server_of.pop(key, None)
        if server and self.by_server.get(server) == key:
            del self.by_server[server]
        if obj is None:
            return
        job = parse(GenerationJob, obj)
        if job is None:
            return
        if job.status.attempts:
            last = job.status.attempts[-1]
            at, end = (key[0], last.server), parse_time(last.end)
            self.last_end[at] = max(end, self.last_end.get(at, end))
        if job.is_finished():
            return
        self.unfinished[key] = job
        if job.status.assignment:
            self._server_of[key] = (key[0], job.status.assignment.server)
            self.by_server[self._server_of[key]] = key

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


class Cache:
    """Objects by kind and key.

    Attributes:
        jobs: An index of the jobs.
        held: Bundles whose files stay as they are for jobs that use them (status.inUse).
    """

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._objects: dict[Kind, dict[Key, Obj]] = {kind: {} for kind in kinds}
        self._models: dict[tuple[Kind, Key], tuple[Obj, Model | None]] = {}
        self.jobs = JobIndex()
        self.held: set[Key] = set()

    def put(self, kind: Kind, obj: Obj) -> None:
        """Take in an object, unless a newer version of it is known."""
        known = self._objects[kind].get(key_of(obj))
        if known is not None and version_of(known) > version_of(obj):
            return
        self._objects[kind][key_of(obj)] = obj
        self._index(kind, key_of(obj), obj)

    def remove(self, kind: Kind, key: Key) -> None:
        """Forget an object."""
        self._objects[kind].pop(key, None)
        self._models.pop((kind, key), None)
        self._index(kind, key, None)

    def _index(self, kind: Kind, key: Key, obj: Obj | None) -> None:
        if kind is GENERATION_JOB:
            self.jobs.update(key, obj)
        elif kind is MODEL_BUNDLE:
            (self.held.add if obj and obj.get("status", {}).get("inUse") else self.held.discard)(key)

    def replace(self, kind: Kind, items: Iterable[Obj], version: str) -> set[Key]:
        """Take in a LIST; returns the keys of objects that are gone. What is newer than the LIST stays."""
        there = {key_of(item): item for item in items}
        gone = {
            key for key, obj in self._objects[kind].items() if key not in there and version_of(obj) <= int(version or 0)
        }
        for item in there.values():
            self.put(kind, item)
        for key in gone:
            self.remove(kind, key)
        return gone

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """One object, or None."""
        return self._objects[kind].get((namespace, name))

    def select(self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Obj]:
        """Objects of a namespace, or of all, that carry these labels."""
        return [
            obj
            for (where, _), obj in self._objects[kind].items()
            if namespace in (None, where)
            and all(obj["metadata"].get("labels", {}).get(k) == v for k, v in (labels or {}).items())
        ]

    def keys(self, kind: Kind) -> Sequence[Key]:
        """All keys of a kind."""
        return list(self._objects[kind])

    def read(self, model: type[M], kind: Kind, namespace: str, name: str) -> M | None:
        """One object as its model, parsed once; None when it is not there or cannot be read."""
        obj = self.get(kind, namespace, name)
        return None if obj is None else self._read(model, kind, obj)

    def read_all(self, model: type[M], kind: Kind, namespace: str = "") -> dict[str, M]:
        """The objects of a namespace that can be read, by name."""
        found = {name_of(obj): self._read(model, kind, obj) for obj in self.select(kind, namespace)}
        return {name: each for name, each in found.items() if each is not None}

    def _read(self, model: type[M], kind: Kind, obj: Obj) -> M | None:
        key = (kind, key_of(obj))
        known = self._models.get(key)
        if known is None or known[0] is not obj:
            known = self._models[key] = (obj, parse(model, obj))
        return cast("M | None", known[1])
