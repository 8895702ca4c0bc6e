"""What is kept of objects: ten thousand jobs must fit into the operator's memory, most of them long finished."""

import sys
from collections.abc import Mapping
from typing import Any

from comfyard.api.conditions import COMPLETE, FAILED
from comfyard.api.meta import ANNOTATION_OUTPUT, LABEL_SWEEP
from comfyard.kube.kinds import GENERATION_JOB, NAMESPACE, Kind, Obj

_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_SHORT = 32
"""Characters of a text that many objects are likely to have: a state, a reason, a name, a time."""

_OF_METADATA = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "finalizers",
        "ownerReferences",
    }
)
_OF_SPEC = frozenset({"template", "profiles", "count", "suspend", "ttlSecondsAfterFinished"})
_OF_STATUS = frozenset({"observedGeneration", "state", "completionTime", "output"})


def is_over(job: Obj) -> bool:
    """Whether a GenerationJob is Complete or Failed, without reading all of it."""
    return any(_is_end(c) for c in job.get("status", {}).get("conditions") or ())


def lacks_outputs(job: Obj) -> bool:
    """Whether a finished job was trimmed of what it has made."""
    return is_over(job) and "outputs" not in job["status"]


def trim(kind: Kind, obj: Obj, *, with_outputs: bool = False) -> Obj:
    """What is kept of an object as the API server sends it: nobody here reads who owns which field.

    Args:
        kind: Of the object.
        obj: As a watch, a list or a write returns it.
        with_outputs: Keep what a finished job has made.
    """
    if kind is NAMESPACE:
        return _namespace(obj)
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if _APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != _APPLIED}
    if kind is not GENERATION_JOB:
        return {**obj, "metadata": metadata}
    whole = {"metadata": metadata, "spec": obj.get("spec", {}), "status": obj.get("status", {})}
    kept: Obj = _shared(_finished(whole, with_outputs=with_outputs) if is_over(obj) else whole)
    return kept


def _namespace(obj: Obj) -> Obj:
    meta = obj["metadata"]
    kept = {key: meta[key] for key in ("name", "labels", "resourceVersion", "deletionTimestamp") if key in meta}
    output = (meta.get("annotations") or {}).get(ANNOTATION_OUTPUT)
    return {"metadata": kept | ({"annotations": {ANNOTATION_OUTPUT: output}} if output is not None else {})}


def _finished(job: Obj, *, with_outputs: bool) -> Obj:
    """Enough for its end to be told, for its deletion in time, and for those that take inputs from it."""
    meta, spec, status = job["metadata"], job["spec"], job["status"]
    metadata = {key: value for key, value in meta.items() if key in _OF_METADATA}
    labels = {LABEL_SWEEP: sweep} if (sweep := (meta.get("labels") or {}).get(LABEL_SWEEP)) else {}
    inputs = [given for given in spec.get("inputs") or () if "job" in given]
    ends = [c for c in status["conditions"] if _is_end(c)]
    failed = any(c["type"] == FAILED for c in ends)
    return {
        "metadata": metadata | ({"labels": labels} if labels else {}),
        "spec": _of(spec, _OF_SPEC) | ({"inputs": inputs} if inputs else {}),
        "status": _of(status, _OF_STATUS)
        | {"conditions": [{**c, "message": ""} for c in ends]}
        | ({"message": status.get("message", "")} if failed else {})
        | ({"outputs": status.get("outputs", [])} if with_outputs else {}),
    }


def _of(whole: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name in names}


def _is_end(condition: Mapping[str, Any]) -> bool:
    return condition.get("type") in {COMPLETE, FAILED} and condition.get("status") == "True"


def _shared(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The same, with each key and each short text held once for all objects: they are alike in most."""
    if isinstance(value, dict):
        return {sys.intern(key): _shared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shared(item) for item in value]
    return sys.intern(value) if type(value) is str and len(value) <= _SHORT else value
