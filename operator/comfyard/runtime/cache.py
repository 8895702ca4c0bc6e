"""What the API server said last, of every kind that the operator follows.

Watches feed it, and so do the answers to our own writes: a decision made right after a write sees that write, so that a
server is not started twice and a job is not assigned twice. A LIST heals what a watch has missed.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar, cast

from pydantic import ValidationError

from comfyard.api.generation_job import GenerationJob
from comfyard.api.meta import Model
from comfyard.controller.snapshot import Limits
from comfyard.kube.kinds import (
    CONFIG_MAP,
    GENERATION_JOB,
    MODEL_BUNDLE,
    NAMESPACE,
    POD,
    Kind,
    Obj,
    name_of,
    namespace_of,
)
from comfyard.runtime.job_index import JobIndex
from comfyard.runtime.limits import limits_of
from comfyard.runtime.reported_nodes import ReportedNodes
from comfyard.runtime.sweep_index import SweepIndex
from comfyard.runtime.tally import Tally
from comfyard.runtime.trimming import is_over, trim

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Model)

_READ_JOBS = 256
"""Jobs that are held as models, which are several times as large as what they are read from: those just looked at."""

Key = tuple[str, str]
"""Namespace and name; the namespace of a cluster-scoped object is empty."""


class Change(NamedTuple):
    """What has become of an object; None: it was not, or is not, there."""

    kind: Kind
    key: Key
    before: Obj | None
    after: Obj | None

    @property
    def obj(self) -> Obj:
        """The object as it was last."""
        return cast("Obj", self.after or self.before)


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
    """Objects by kind and key, trimmed of what nobody reads.

    Attributes:
        jobs: An index of the jobs.
        sweeps: The jobs of sweeps.
        held: Bundles whose files stay as they are for jobs that use them (status.inUse).
        limits: What namespaces may have at once, of those that have limits.
        nodes: What is in ConfigMaps, which are kept without it.
        tally: What servers have done lately.
    """

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._objects: dict[Kind, dict[str, dict[str, Obj]]] = {kind: {} for kind in kinds}
        self._models: dict[tuple[Kind, Key], tuple[Obj, Model | None]] = {}
        self._read_jobs: dict[tuple[Kind, Key], tuple[Obj, Model | None]] = {}
        self.jobs = JobIndex()
        self.sweeps = SweepIndex()
        self.held: set[Key] = set()
        self.limits: dict[str, Limits] = {}
        self.nodes = ReportedNodes()
        self.tally = Tally()

    def put(self, kind: Kind, obj: Obj) -> Change | None:
        """Take in an object; None when that or a newer version of it is known."""
        known = self.get(kind, *key_of(obj))
        if known is not None and version_of(known) >= version_of(obj):
            return None
        return self._put(kind, obj)

    def amend(self, kind: Kind, obj: Obj) -> Change:
        """Take in what is known of an object before the API server tells, with the version that was told last."""
        return self._put(kind, obj)

    def _put(self, kind: Kind, obj: Obj) -> Change:
        namespace, name = key = key_of(obj)
        if kind is CONFIG_MAP:
            obj = self.nodes.take(obj)
        kept = trim(kind, obj, with_outputs=key in self.jobs.takers)
        here = self._objects[kind].setdefault(namespace, {})
        change = Change(kind, key, here.get(name), kept)
        here[name] = kept
        self._index(change, obj)
        return change

    def drop(self, kind: Kind, obj: Obj) -> Change | None:
        """Take in that an object is gone, by what the API server said last of it; another of its name stays."""
        known = self.get(kind, *key_of(obj))
        if known is None or version_of(known) <= version_of(obj):
            return self.remove(kind, key_of(obj))
        return None

    def remove(self, kind: Kind, key: Key) -> Change | None:
        """Forget an object; None when there is nothing to forget."""
        here = self._objects[kind].get(key[0], {})
        before = here.pop(key[1], None)
        if before is None:
            return None
        if not here:
            del self._objects[kind][key[0]]
        self._models.pop((kind, key), None)
        self._read_jobs.pop((kind, key), None)
        change = Change(kind, key, before, None)
        self._index(change, None)
        return change

    def _index(self, change: Change, whole: Obj | None) -> None:
        kind, key, _, obj = change
        if kind is GENERATION_JOB:
            self._index_job(key, obj, whole)
        elif kind is MODEL_BUNDLE:
            (self.held.add if obj and obj.get("status", {}).get("inUse") else self.held.discard)(key)
        elif kind is NAMESPACE:
            self.limits.pop(key[1], None)
            limits = limits_of(obj) if obj else None
            if limits:
                self.limits[key[1]] = limits
        elif kind is CONFIG_MAP and obj is None:
            self.nodes.forget(key)

    def _index_job(self, key: Key, obj: Obj | None, whole: Obj | None) -> None:
        over = obj is not None and is_over(obj)
        job = self.read(GenerationJob, GENERATION_JOB, *key) if obj and not over else None
        known = whole if over or job else None
        try:
            ended, gpu_seconds = self.jobs.update(key, known, job)
        except (KeyError, TypeError, ValueError) as error:  # a finished one, which is not read as a whole
            log.warning("GenerationJob %s/%s is left alone, it cannot be read: %r", *key, error)
            return
        for each in ended:
            self.tally.take(each, self.get(POD, *each.server))
        if ended:
            self.tally.usage.add(key[0], gpu_seconds, ended[-1].at)
        self.sweeps.update(key, obj)

    def others(self, kind: Kind, there: Collection[Key], version: str) -> list[Key]:
        """What a LIST of that version does not have, and is not newer: it is gone."""
        return [
            (namespace, name)
            for namespace, objects in self._objects[kind].items()
            for name, obj in objects.items()
            if (namespace, name) not in there and version_of(obj) <= int(version or 0)
        ]

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """One object, or None."""
        return self._objects[kind].get(namespace, {}).get(name)

    def select(self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Obj]:
        """Objects of a namespace, or of all, that carry these labels."""
        everywhere = self._objects[kind]
        here = everywhere.values() if namespace is None else [everywhere.get(namespace, {})]
        return [
            obj
            for objects in here
            for obj in objects.values()
            if not labels or labels.items() <= (obj["metadata"].get("labels") or {}).items()
        ]

    def keys(self, kind: Kind) -> Sequence[Key]:
        """All keys of a kind."""
        return [(namespace, name) for namespace, objects in self._objects[kind].items() for name in objects]

    def names(self, kind: Kind, namespace: str) -> Collection[str]:
        """The names of what is in a namespace, as it is whenever one looks."""
        return self._objects[kind].get(namespace, {}).keys()

    def read(self, model: type[M], kind: Kind, namespace: str, name: str) -> M | None:
        """One object as its model, parsed once; None when it is not there or cannot be read."""
        obj = self.get(kind, namespace, name)
        return None if obj is None else self._read(model, kind, obj)

    def read_all(self, model: type[M], kind: Kind, namespace: str = "") -> dict[str, M]:
        """The objects of a namespace that can be read, by name."""
        found = {name_of(obj): self._read(model, kind, obj) for obj in self.select(kind, namespace)}
        return {name: each for name, each in found.items() if each is not None}

    def view(self, model: type[M], kind: Kind, namespace: str = "") -> "View[M]":
        """The same, each read when somebody asks for it."""
        return View(self, model, kind, namespace)

    def _read(self, model: type[M], kind: Kind, obj: Obj) -> M | None:
        key = (kind, key_of(obj))
        models = self._read_jobs if kind is GENERATION_JOB else self._models
        known = models.get(key)
        if known is None or known[0] is not obj:
            models.pop(key, None)
            known = models[key] = (obj, parse(model, obj))
            if len(self._read_jobs) > _READ_JOBS:
                del self._read_jobs[next(iter(self._read_jobs))]
        return cast("M | None", known[1])


class View(Mapping[str, M], Generic[M]):
    """The objects of one namespace that can be read, by name."""

    def __init__(self, cache: Cache, model: type[M], kind: Kind, namespace: str) -> None:
        self._cache = cache
        self._model = model
        self._kind = kind
        self._namespace = namespace

    def __getitem__(self, name: str) -> M:  # type: ignore[explicit-override] # @override is of Python 3.12
        found = self._cache.read(self._model, self._kind, self._namespace, name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:  # type: ignore[explicit-override] # see above
        return iter(self._cache.read_all(self._model, self._kind, self._namespace))

    def __len__(self) -> int:  # type: ignore[explicit-override] # see above
        return len(self._cache.read_all(self._model, self._kind, self._namespace))
