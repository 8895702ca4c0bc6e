"""Files of a claim, read through a pod that mounts it for as long as they are fetched."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

from lightkube.models.core_v1 import (
    Affinity,
    Container,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PersistentVolumeClaimVolumeSource,
    PodSpec,
    ResourceRequirements,
    Toleration,
    Volume,
    VolumeMount,
)
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference

from comfyard.api.generation_job import GenerationJob
from comfyard.api.meta import ANNOTATION_IMAGE
from comfyard.cli.session import CommandError
from comfyard.cli.watching import watch_until
from comfyard.controller.resources.access import AGENT
from comfyard.controller.resources.restricted import container_security, pod_security
from comfyard.kube.client import LightkubeClient
from comfyard.kube.errors import NotFoundError
from comfyard.kube.kinds import GENERATION_JOB, POD, SERVICE_ACCOUNT, Obj, name_of

_MOUNT = "/results"
_LIVES_SECONDS = 3600
"""If the command is killed and cannot delete the pod, it ends by itself."""
_START_SECONDS = 180.0
_HOPELESS = frozenset({"ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"})


@dataclass(frozen=True)
class ClaimReader:
    """A pod that has the claim mounted."""

    client: LightkubeClient
    pod: str
    namespace: str

    async def copy(self, path: str, file: BinaryIO) -> None:
        """Append a file of the claim to one that is open. Raises ApiError."""
        await self.client.run_in_pod(self.pod, self.namespace, ["cat", "--", f"{_MOUNT}/{path}"], file)


@asynccontextmanager
async def open_claim(client: LightkubeClient, job: GenerationJob, claim: str) -> AsyncIterator[ClaimReader]:
    """Mount a claim with results of a job, read-only, for as long as the context lasts.

    Raises:
        CommandError: There will be no such pod.
        ApiError: It may not be made.
    """
    namespace = job.metadata.namespace
    image = await _image(client, namespace)
    pods = (await client.list(POD, namespace)).items
    made = await client.create(POD, build_reader(job, claim, image, node_of(pods, claim)))
    try:
        await _until_it_runs(client, made)
        yield ClaimReader(client, name_of(made), namespace)
    finally:
        with suppress(NotFoundError):
            await client.delete(POD, name_of(made), namespace)


async def _image(client: LightkubeClient, namespace: str) -> str:
    """The operator's image, which it has written where its agents live."""
    try:
        account = await client.get(SERVICE_ACCOUNT, AGENT, namespace)
    except NotFoundError:
        account = {"metadata": {}}
    image = (account["metadata"].get("annotations") or {}).get(ANNOTATION_IMAGE)
    if not image:
        raise CommandError(
            f"ServiceAccount {AGENT} of namespace {namespace} does not tell an image to read the claim with; is the "
            "operator of this version running? Otherwise mount the claim in a pod of yours and copy the files"
        )
    return str(image)


def node_of(pods: Iterable[Obj], claim: str) -> str:
    """The node of a running pod that has the claim mounted: ReadWriteOnce claims can be mounted there only."""
    for pod in pods:
        volumes = pod["spec"].get("volumes") or []
        claims = {(volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in volumes}
        if claim in claims and pod.get("status", {}).get("phase") == "Running":
            return str(pod["spec"].get("nodeName", ""))
    return ""


def build_reader(job: GenerationJob, claim: str, image: str, node: str) -> Obj:
    """The pod. It belongs to the job, so that it goes with it at the latest; it is none of the operator's.

    Args:
        job: Whose results are read.
        claim: Mounted read-only.
        image: Has `cat` and `sleep`.
        node: Where it must run, whatever the node's taints; empty: anywhere.
    """
    owner = OwnerReference(
        apiVersion=GENERATION_JOB.api_version, kind=GENERATION_JOB.kind, name=job.metadata.name, uid=job.metadata.uid
    )
    meta = ObjectMeta(generateName="comfyard-results-", namespace=job.metadata.namespace, ownerReferences=[owner])
    here = NodeSelectorTerm(matchFields=[NodeSelectorRequirement(key="metadata.name", operator="In", values=[node])])
    affinity = Affinity(
        nodeAffinity=NodeAffinity(requiredDuringSchedulingIgnoredDuringExecution=NodeSelector(nodeSelectorTerms=[here]))
    )
    spec = PodSpec(
        serviceAccountName=AGENT,  # its imagePullSecrets, if it has been given some
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        restartPolicy="Never",
        activeDeadlineSeconds=_LIVES_SECONDS,
        terminationGracePeriodSeconds=1,
        securityContext=pod_security(),
        affinity=affinity if node else None,
        tolerations=[Toleration(operator="Exists")] if node else None,
        containers=[
            Container(
                name="reader",
                image=image,
                command=["sleep", str(_LIVES_SECONDS)],
                resources=ResourceRequirements(requests={"cpu": "10m", "memory": "16Mi"}, limits={"memory": "64Mi"}),
                securityContext=container_security(),
                volumeMounts=[VolumeMount(name="results", mountPath=_MOUNT, readOnly=True)],
            )
        ],
        volumes=[
            Volume(
                name="results",
                persistentVolumeClaim=PersistentVolumeClaimVolumeSource(claimName=claim, readOnly=True),
            )
        ],
    )
    return {"metadata": meta.to_dict(), "spec": spec.to_dict()}


async def _until_it_runs(client: LightkubeClient, made: Obj) -> None:
    name = name_of(made)
    last = made

    def has_come_to_something(pod: Obj) -> bool:
        nonlocal last
        last = pod
        return _runs(pod) or why_not_running(pod)[1]

    with suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS):
            if await watch_until(client, POD, made, has_come_to_something) is None:
                raise CommandError(f"pod {name}, which is to read the claim, was deleted")
    if not _runs(last):
        raise CommandError(f"pod {name}, which is to read the claim, does not start: {why_not_running(last)[0]}")


def _runs(pod: Obj) -> bool:
    return bool(pod.get("status", {}).get("phase") == "Running")


def why_not_running(pod: Obj) -> tuple[str, bool]:
    """What a pod that does not run waits for, and whether that is in vain."""
    status = pod.get("status") or {}
    if status.get("phase") in {"Failed", "Succeeded"}:
        return f"it has ended: {status.get('message') or status.get('reason') or status['phase']}", True
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            reason = str(waiting.get("reason", ""))
            return f"{reason}: {waiting.get('message', '')}".removesuffix(": "), reason in _HOPELESS
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}", False
    return "nobody has looked at it yet", False
