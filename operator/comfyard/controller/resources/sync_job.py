"""The store sync of one claim: a Job, there while it has something to do, and a ConfigMap that it leaves behind."""

from collections.abc import Sequence
from typing import Any, cast

from lightkube.models.batch_v1 import Job, JobSpec
from lightkube.models.core_v1 import (
    Affinity,
    ConfigMap,
    Container,
    EmptyDirVolumeSource,
    EnvVar,
    PersistentVolumeClaimVolumeSource,
    PodSpec,
    PodTemplateSpec,
    ResourceRequirements,
    Volume,
    VolumeMount,
)
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference

from comfyard.api.meta import LABEL_CLAIM
from comfyard.controller.resources.access import COMPONENT_SYNC, SYNC, labels
from comfyard.controller.resources.restricted import (
    LAST_WORDS,
    TOKEN_MOUNT,
    container_security,
    pod_security,
    token_volume,
)
from comfyard.controller.settings import Settings
from comfyard.controller.volumes import Volumes, claim_labels, with_claims
from comfyard.kube.kinds import PERSISTENT_VOLUME_CLAIM, Obj, name_of, namespace_of
from comfyard.workflow.digest import digest

_MODELS = "/models"
_SOURCES = "/sources"
_STORE_VOLUME = "models"
_NAME_PART = 40
_KEPT_SECONDS = 600
"""How long a Job that has ended stays, with its log; and how long what has failed rests before it is tried again."""


def sync_name(claim: str) -> str:
    """The name of the Job and of the inventory: one a claim, so that a claim never has two writers."""
    return f"sync-{claim[:_NAME_PART].rstrip('-.')}-{digest(claim)[-8:]}"


def claim_label(claim: str) -> str:
    """Label value that tells a claim; its name may be longer than a label may be."""
    return digest(claim)[-16:]


def claim_of(obj: Obj) -> str:
    """The claim that a sync's Job or pod writes to; empty when it is neither."""
    volumes = [volume for volume in _pod_spec(obj).get("volumes", []) if volume["name"] == _STORE_VOLUME]
    return str(volumes[0].get("persistentVolumeClaim", {}).get("claimName", "")) if volumes else ""


def sources_of(job: Obj) -> tuple[str, ...]:
    """The claims that a sync's Job reads files from, in order."""
    mounts = (m["mountPath"] for c in _pod_spec(job).get("containers", []) for m in c.get("volumeMounts", []))
    return tuple(sorted(path.removeprefix(f"{_SOURCES}/") for path in mounts if path.startswith(f"{_SOURCES}/")))


def _pod_spec(obj: Obj) -> dict[str, Any]:
    spec = obj.get("spec", {})
    found: dict[str, Any] = spec.get("template", {}).get("spec", spec)
    return found


def build_inventory(claim: Obj) -> Obj:
    """The ConfigMap that the sync writes what is on the claim into. It goes with the claim."""
    name = name_of(claim)
    owner = OwnerReference(
        apiVersion=PERSISTENT_VOLUME_CLAIM.api_version,
        kind=PERSISTENT_VOLUME_CLAIM.kind,
        name=name,
        uid=claim["metadata"]["uid"],
    )
    meta = ObjectMeta(
        name=sync_name(name), namespace=namespace_of(claim), labels=_labels(name), ownerReferences=[owner]
    )
    return ConfigMap(metadata=meta).to_dict()


def _labels(claim: str) -> dict[str, str]:
    return {**labels(COMPONENT_SYNC), LABEL_CLAIM: claim_label(claim)}


def build_sync_job(claim: str, namespace: str, sources: Sequence[str], settings: Settings, volumes: Volumes) -> Obj:
    """The Job. It outlives any number of deleted pods; the sync itself decides when it is done.

    Args:
        claim: What it writes to.
        namespace: Of the claim.
        sources: Names of claims that files come from. The claim itself may be one of them; but it has one volume
            only, or the pod would never start.
        settings: The operator's.
        volumes: The claims of the namespace.
    """
    own = _labels(claim)
    affinity = with_claims(None, [claim, *sources], volumes)
    others = {name: f"source-{index}" for index, name in enumerate(sources) if name != claim}
    mounted = {name: others.get(name, _STORE_VOLUME) for name in sources}
    pod = PodSpec(
        serviceAccountName=SYNC,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        restartPolicy="OnFailure",
        securityContext=pod_security(),
        affinity=cast("Affinity", Affinity.from_dict(affinity)) if affinity else None,
        terminationGracePeriodSeconds=10,
        containers=[
            Container(
                name="sync",
                image=settings.image,
                imagePullPolicy=settings.image_pull_policy,
                args=["sync"],
                env=[
                    EnvVar(name="COMFYARD_NAMESPACE", value=namespace),
                    EnvVar(name="COMFYARD_CLAIM", value=claim),
                    EnvVar(name="COMFYARD_INVENTORY", value=sync_name(claim)),
                    EnvVar(name="COMFYARD_STORE_DIRECTORY", value=_MODELS),
                    EnvVar(name="COMFYARD_SOURCES_DIRECTORY", value=_SOURCES),
                ],
                resources=ResourceRequirements(requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "512Mi"}),
                securityContext=container_security(),
                terminationMessagePolicy=LAST_WORDS,
                volumeMounts=[
                    VolumeMount(name=_STORE_VOLUME, mountPath=_MODELS),
                    *(VolumeMount(name=v, mountPath=f"{_SOURCES}/{c}", readOnly=True) for c, v in mounted.items()),
                    VolumeMount(name="tmp", mountPath="/tmp"),  # noqa: S108 - an emptyDir
                    TOKEN_MOUNT,
                ],
            )
        ],
        volumes=[
            _volume(_STORE_VOLUME, claim),
            *(_volume(volume, name, read_only=True) for name, volume in others.items()),
            Volume(name="tmp", emptyDir=EmptyDirVolumeSource()),
            token_volume(),
        ],
    )
    return Job(
        metadata=ObjectMeta(name=sync_name(claim), namespace=namespace, labels=own),
        spec=JobSpec(
            backoffLimit=1_000_000,
            ttlSecondsAfterFinished=_KEPT_SECONDS,
            template=PodTemplateSpec(
                metadata=ObjectMeta(labels={**own, **claim_labels([claim, *sources], volumes)}), spec=pod
            ),
        ),
    ).to_dict()


def _volume(name: str, claim: str, *, read_only: bool | None = None) -> Volume:
    source = PersistentVolumeClaimVolumeSource(claimName=claim, readOnly=read_only)
    return Volume(name=name, persistentVolumeClaim=source)
