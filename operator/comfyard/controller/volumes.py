"""What the access modes of claims mean for the pods that mount them: which node they go to, whether files are mapped.

A ReadWriteOnce volume is on one node at a time, so pods that mount it go where it is. Pods tell by labels which such
claims they mount, and ask for a node with pods that mount the same. kube-scheduler takes pods together only when one of
those that are there has the labels of all required terms, and lets a pod that asks for itself be the first: so only
claims that some pod mounts together are required, and the others preferred.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfyard.api.meta import GROUP
from comfyard.controller import claims, pods
from comfyard.kube.kinds import Obj, name_of
from comfyard.workflow.digest import digest

_ONCE = "ReadWriteOnce"
_OF_MANY_NODES = frozenset({"ReadWriteMany", "ReadOnlyMany"})
_PREFIX = f"{GROUP}/claim-"
_HASH_PART = 16
_MOST = 100
"""The greatest weight of a preference."""


@dataclass(frozen=True)
class Volumes:
    """The claims of a namespace, as far as pods that mount them are concerned.

    Attributes:
        once: Names of those that the pods of one node can mount, and no others.
        shared: Names of those that several nodes can mount: network volumes.
        held: Which of `once` each pod mounts, as label keys.
    """

    once: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    held: Sequence[frozenset[str]] = ()


def observe_volumes(found: Iterable[Obj], around: Iterable[Obj]) -> Volumes:
    """From the claims of a namespace, and our pods in it."""
    modes = {name_of(claim): claims.access_modes(claim) for claim in found}
    mounted = (
        frozenset(key for key in pod["metadata"].get("labels", {}) if key.startswith(_PREFIX))
        for pod in around
        if not pods.is_over(pod)
    )
    return Volumes(
        once=frozenset(name for name, each in modes.items() if _ONCE in each and not each & _OF_MANY_NODES),
        shared=frozenset(name for name, each in modes.items() if each & _OF_MANY_NODES),
        held=tuple({keys for keys in mounted if keys}),
    )


def claim_key(claim: str) -> str:
    """Key of the label that pods carry for a claim that one node can mount; its name may be longer than a key."""
    return f"{_PREFIX}{digest(claim)[-_HASH_PART:]}"


def claim_labels(mounted: Iterable[str], volumes: Volumes) -> dict[str, str]:
    """The labels of a pod that mounts these claims."""
    return {claim_key(claim): "" for claim in mounted if claim in volumes.once}


def with_claims(affinity: Mapping[str, Any] | None, mounted: Iterable[str], volumes: Volumes) -> dict[str, Any] | None:
    """A pod's affinity that takes it where its claims are, besides what was asked for already.

    Args:
        affinity: A v1.Affinity in its JSON form.
        mounted: Names of the claims.
        volumes: Of the namespace.
    """
    keys = sorted(claim_labels(mounted, volumes))
    if not keys:
        return dict(affinity) if affinity else None
    together = max(
        (held & set(keys) for held in volumes.held), key=lambda held: (len(held), sorted(held)), default=None
    )
    needed = sorted(together or keys)
    before: Mapping[str, Any] = affinity or {}
    pod_affinity = before.get("podAffinity") or {}
    required, preferred = (f"{how}DuringSchedulingIgnoredDuringExecution" for how in ("required", "preferred"))
    return {
        **before,
        "podAffinity": {
            **pod_affinity,
            required: [*pod_affinity.get(required, []), *(_term(key) for key in needed)],
            preferred: [
                *pod_affinity.get(preferred, []),
                *({"weight": _MOST, "podAffinityTerm": _term(key)} for key in keys if key not in needed),
            ],
        },
    }


def _term(key: str) -> dict[str, Any]:
    return {
        "labelSelector": {"matchExpressions": [{"key": key, "operator": "Exists"}]},
        "topologyKey": "kubernetes.io/hostname",
    }
