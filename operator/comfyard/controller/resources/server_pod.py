"""A server: a pod with ComfyUI and the agent beside it."""

from dataclasses import dataclass, field
from typing import cast

from lightkube.models.core_v1 import Affinity, LocalObjectReference, PodSpec, Toleration
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import API_VERSION, LABEL_POOL, LABEL_PROFILE, LABEL_SHAPE
from comfyard.controller.pods import LABEL_QUEUE
from comfyard.controller.pools import Pool, shape_of
from comfyard.controller.resources.access import AGENT, COMPONENT_SERVER, labels
from comfyard.controller.resources.restricted import pod_security
from comfyard.controller.resources.server_containers import build_agent, build_comfyui
from comfyard.controller.resources.server_volumes import annotations, build_volumes
from comfyard.controller.settings import Settings
from comfyard.controller.volumes import Volumes, claim_labels, with_claims
from comfyard.kube.kinds import Obj

_LAST_WRITES_SECONDS = 15
"""After the drain: for the agent to hand back what has not finished, and for ComfyUI to end."""


@dataclass(frozen=True)
class Place:
    """Where a server is made, as far as that changes what it is.

    Attributes:
        volumes: The claims of its namespace.
        warm_up: A prompt graph as JSON that it renders once before it counts as ready; empty: none.
    """

    volumes: Volumes = field(default_factory=Volumes)
    warm_up: str = ""


def build_server_pod(pool: Pool, profile: HardwareProfile, suffix: str, settings: Settings, place: Place) -> Obj:
    """The pod of one more server of a pool. `suffix` makes its name unique: a name never comes back."""
    placement, server = profile.spec.placement, profile.spec.server
    affinity = with_claims(placement.affinity, pool.claims, place.volumes)
    meta = ObjectMeta(
        name=f"{pool.name}-{suffix}",
        namespace=pool.namespace,
        labels={
            **placement.labels,
            **labels(COMPONENT_SERVER),
            **claim_labels(pool.claims, place.volumes),
            LABEL_POOL: pool.name,
            LABEL_PROFILE: pool.profile,
            LABEL_SHAPE: shape_of(profile),
            **({LABEL_QUEUE: profile.spec.queue_name} if profile.spec.queue_name else {}),
        },
        annotations={**placement.annotations, **annotations(pool, place.warm_up)},
        ownerReferences=[
            OwnerReference(
                apiVersion=API_VERSION,
                kind="HardwareProfile",
                name=profile.metadata.name,
                uid=profile.metadata.uid,
                controller=True,
            )
        ],
    )
    spec = PodSpec(
        serviceAccountName=AGENT,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        restartPolicy="Always",
        terminationGracePeriodSeconds=server.drain_seconds + _LAST_WRITES_SECONDS,
        securityContext=pod_security(),
        nodeSelector=dict(placement.node_selector) or None,
        tolerations=[cast("Toleration", Toleration.from_dict(t)) for t in placement.tolerations] or None,
        affinity=cast("Affinity", Affinity.from_dict(affinity)) if affinity else None,
        runtimeClassName=placement.runtime_class_name,
        priorityClassName=placement.priority_class_name,
        schedulerName=placement.scheduler_name,
        imagePullSecrets=[LocalObjectReference(name=name) for name in placement.image_pull_secrets] or None,
        containers=[build_comfyui(pool, profile, place.volumes), build_agent(pool, profile, settings, place.warm_up)],
        volumes=build_volumes(pool, profile, place.warm_up),
    )
    return {"metadata": meta.to_dict(), "spec": spec.to_dict()}
