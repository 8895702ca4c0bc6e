"""The store sync of one claim: a Job, there while it has something to do."""

from lightkube.models.batch_v1 import Job, JobSpec
from lightkube.models.core_v1 import (
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
from lightkube.models.meta_v1 import ObjectMeta

from comfyard.api.meta import LABEL_CLAIM
from comfyard.controller.resources.access import COMPONENT_SYNC, SYNC, labels
from comfyard.controller.resources.restricted import TOKEN_MOUNT, container_security, pod_security, token_volume
from comfyard.controller.settings import Settings
from comfyard.kube.kinds import Obj
from comfyard.workflow.digest import digest

_MODELS = "/models"
_NAME_PART = 40


def sync_name(claim: str) -> str:
    """The Job's name: one a claim, so that a claim never has two writers."""
    return f"sync-{claim[:_NAME_PART].rstrip('-.')}-{digest(claim)[-8:]}"


def claim_label(claim: str) -> str:
    """Label value that tells a claim; its name may be longer than a label may be."""
    return digest(claim)[-16:]


def build_sync_job(claim: str, namespace: str, settings: Settings) -> Obj:
    """The Job. It outlives any number of deleted pods; the sync itself decides when it is done."""
    own = {**labels(COMPONENT_SYNC), LABEL_CLAIM: claim_label(claim)}
    pod = PodSpec(
        serviceAccountName=SYNC,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        restartPolicy="OnFailure",
        securityContext=pod_security(),
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
                    EnvVar(name="COMFYARD_STORE_DIRECTORY", value=_MODELS),
                ],
                resources=ResourceRequirements(requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "512Mi"}),
                securityContext=container_security(),
                volumeMounts=[
                    VolumeMount(name="models", mountPath=_MODELS),
                    VolumeMount(name="tmp", mountPath="/tmp"),  # noqa: S108 - an emptyDir
                    TOKEN_MOUNT,
                ],
            )
        ],
        volumes=[
            Volume(name="models", persistentVolumeClaim=PersistentVolumeClaimVolumeSource(claimName=claim)),
            Volume(name="tmp", emptyDir=EmptyDirVolumeSource()),
            token_volume(),
        ],
    )
    return Job(
        metadata=ObjectMeta(name=sync_name(claim), namespace=namespace, labels=own),
        spec=JobSpec(
            backoffLimit=1_000_000,
            ttlSecondsAfterFinished=60,
            template=PodTemplateSpec(metadata=ObjectMeta(labels=own), spec=pod),
        ),
    ).to_dict()
