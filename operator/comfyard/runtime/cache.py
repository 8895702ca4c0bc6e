"""What the API server said last, of every kind that the operator follows.

Watches feed it, and so do the answers to our own writes: a decision made right after a write sees that write, so that a
server is not started twice and a job is not assigned twice. A LIST heals what a watch has missed.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, cast

from pydantic import ValidationError

from comfyard.api.generation_job import GenerationJob
from comfyard.api.meta import Model
from comfyard.kube.kinds import (
    CONFIG_MAP,
    GENERATION_JOB,
    MODEL_BUNDLE,
    NAMESPACE,
    Kind,
    Obj,
    name_of,
    namespace_of,
)
from comfyard.runtime.job_index import JobIndex, SweepIndex
from comfyard.runtime.reported_nodes import ReportedNodes

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Model)

_OF_NAMESPACES = ("name", "annotations", "resourceVersion")
"""What is kept of their metadata, and nothing else of them: there may be thousands."""

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


class Cache:
    """Objects by kind and key.

    Attributes:
        jobs: An index of the jobs.
        sweeps: The jobs of sweeps.
        held: Bundles whose files stay as they are for jobs that use them (status.inUse).
        nodes: What is in ConfigMaps, which are kept without it.
    """

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._objects: dict[Kind, dict[Key, Obj]] = {kind: {} for kind in kinds}
        self._models: dict[tuple[Kind, Key], tuple[Obj, Model | None]] = {}
        self.jobs = JobIndex()
        self.sweeps = SweepIndex()
        self.held: set[Key] = set()
        self.nodes = ReportedNodes()

    def put(self, kind: Kind, obj: Obj) -> None:
        """Take in an object, unless a newer version of it is known."""
        known = self._objects[kind].get(key_of(obj))
        if known is not None and version_of(known) > version_of(obj):
            return
        if kind is CONFIG_MAP:
            obj = self.nodes.take(obj)
        elif kind is NAMESPACE:
            obj = {"metadata": {key: obj["metadata"][key] for key in _OF_NAMESPACES if key in obj["metadata"]}}
        self._objects[kind][key_of(obj)] = obj
        self._index(kind, key_of(obj), obj)

    def drop(self, kind: Kind, obj: Obj) -> None:
        """Take in that an object is gone, by what the API server said last of it; another of its name stays."""
        known = self._objects[kind].get(key_of(obj))
        if known is None or version_of(known) <= version_of(obj):
            self.remove(kind, key_of(obj))

    def remove(self, kind: Kind, key: Key) -> None:
        """Forget an object."""
        self._objects[kind].pop(key, None)
        self._models.pop((kind, key), None)
        self._index(kind, key, None)

    def _index(self, kind: Kind, key: Key, obj: Obj | None) -> None:
        if kind is GENERATION_JOB:
            self.jobs.update(key, parse(GenerationJob, obj) if obj else None)
            self.sweeps.update(key, obj)
        elif kind is MODEL_BUNDLE:
            (self.held.add if obj and obj.get("status", {}).get("inUse") else self.held.discard)(key)
        elif kind is CONFIG_MAP and obj is None:
            self.nodes.forget(key)

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
