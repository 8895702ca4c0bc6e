"""A server: a pod with ComfyUI on 127.0.0.1 and the agent beside it.

ComfyUI 0.3.64 with a read-only root needs a writable TMPDIR and temp and user directories to start, an input directory
for some classes, and an output directory or every job fails at the last node; so each gets an emptyDir of its own.
As PID 1 it ignores SIGTERM and ends on SIGINT, so a preStop hook sends that, once the agent says that it has drained.
"""

import json
from typing import cast

from lightkube.models.core_v1 import (
    Affinity,
    Container,
    DownwardAPIVolumeFile,
    DownwardAPIVolumeSource,
    EmptyDirVolumeSource,
    EnvVar,
    EnvVarSource,
    ExecAction,
    HTTPGetAction,
    Lifecycle,
    LifecycleHandler,
    LocalObjectReference,
    ObjectFieldSelector,
    PersistentVolumeClaimVolumeSource,
    PodSpec,
    Probe,
    ResourceRequirements,
    Toleration,
    Volume,
    VolumeMount,
)
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import API_VERSION, GROUP, LABEL_POOL, LABEL_PROFILE
from comfyard.controller.pools import COMFYUI, Node, Pool
from comfyard.controller.resources import node_report
from comfyard.controller.resources.access import AGENT, COMPONENT_SERVER, labels
from comfyard.controller.resources.restricted import TOKEN_MOUNT, container_security, pod_security, token_volume
from comfyard.controller.settings import Settings
from comfyard.kube.kinds import Obj
from comfyard.store.layout import OWN

AGENT_PORT = 8189
COMFYUI_PORT = 8188
DRAIN_SECONDS = 15
_GRACE_SECONDS = 30

_WORK = "/comfyui"
_RUN = "/comfyard/run"
_RESULTS = "/results"
_INPUTS = "/inputs"
_CONFIG = "/comfyard/config"
_CUSTOM_NODES = "/comfyard/custom_nodes"
_MODEL_PATHS = "extra_model_paths.yaml"
_ANNOTATION_MODEL_PATHS = f"{GROUP}/extra-model-paths"

_MODEL_FOLDERS = (
    "audio_encoders",
    "checkpoints",
    "clip_vision",
    "configs",
    "controlnet",
    "diffusers",
    "diffusion_models",
    "embeddings",
    "gligen",
    "hypernetworks",
    "loras",
    "model_patches",
    "photomaker",
    "style_models",
    "text_encoders",
    "upscale_models",
    "vae",
    "vae_approx",
)
"""ComfyUI 0.3.64's folders; a key that it does not know would become a folder that accepts every extension."""


def build_server_pod(pool: Pool, profile: HardwareProfile, suffix: str, settings: Settings) -> Obj:
    """The pod of one more server of a pool. `suffix` makes its name unique: a name never comes back."""
    placement = profile.spec.placement
    meta = ObjectMeta(
        name=f"{pool.name}-{suffix}",
        namespace=pool.namespace,
        labels={
            **placement.labels,
            **labels(COMPONENT_SERVER),
            LABEL_POOL: pool.name,
            LABEL_PROFILE: pool.profile,
        },
        annotations={**placement.annotations, _ANNOTATION_MODEL_PATHS: model_paths_yaml(pool)},
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
        terminationGracePeriodSeconds=_GRACE_SECONDS,
        securityContext=pod_security(),
        nodeSelector=dict(placement.node_selector) or None,
        tolerations=[cast("Toleration", Toleration.from_dict(t)) for t in placement.tolerations] or None,
        affinity=cast("Affinity", Affinity.from_dict(placement.affinity)) if placement.affinity else None,
        runtimeClassName=placement.runtime_class_name,
        priorityClassName=placement.priority_class_name,
        schedulerName=placement.scheduler_name,
        imagePullSecrets=[LocalObjectReference(name=name) for name in placement.image_pull_secrets] or None,
        containers=[_comfyui(pool, profile), _agent(pool, profile, settings)],
        volumes=_volumes(pool),
    )
    return {"metadata": meta.to_dict(), "spec": spec.to_dict()}


def model_paths_yaml(pool: Pool) -> str:
    """The file for ComfyUI's --extra-model-paths-config: one section a claim, one for custom nodes. JSON is YAML."""
    sections: dict[str, dict[str, str]] = {
        f"claim{index}": {"base_path": f"/models/{index}", **{folder: f"{folder}/" for folder in _MODEL_FOLDERS}}
        for index, _ in enumerate(pool.model_claims)
    }
    if pool.nodes:
        sections["nodes"] = {"custom_nodes": _CUSTOM_NODES}
    return json.dumps(sections, indent=1)


def _comfyui(pool: Pool, profile: HardwareProfile) -> Container:
    server, gpu = profile.spec.server, profile.spec.gpu
    gpus = {gpu.resource_name: str(gpu.count)} if gpu.count else {}
    return Container(
        name=COMFYUI,
        image=server.image,
        imagePullPolicy=server.image_pull_policy,
        command=list(server.command) or None,
        args=[*_arguments(cpu=gpu.count == 0, models=bool(pool.model_claims)), *server.args],
        env=[
            EnvVar(name="TMPDIR", value=f"{_WORK}/tmp"),  # noqa: S108 - an emptyDir
            *(EnvVar(name=e.name, value=e.value) for e in server.env),
        ],
        resources=ResourceRequirements(
            requests={k: str(v) for k, v in server.resources.requests.items()} or None,
            limits={**{k: str(v) for k, v in server.resources.limits.items()}, **gpus} or None,
        ),
        securityContext=container_security(),
        lifecycle=Lifecycle(preStop=LifecycleHandler(exec=ExecAction(command=["sh", "-c", _PRE_STOP]))),
        livenessProbe=Probe(
            exec=ExecAction(command=["sh", "-c", f"test ! -e {_RUN}/restart"]),
            periodSeconds=5,
            failureThreshold=1,
            terminationGracePeriodSeconds=5,
        ),
        volumeMounts=[
            *(
                VolumeMount(name=name, mountPath=f"{_WORK}/{name}")
                for name in ("output", "input", "temp", "user", "tmp")
            ),
            VolumeMount(name="run", mountPath=_RUN, readOnly=True),
            VolumeMount(name="config", mountPath=_CONFIG, readOnly=True),
            *(
                VolumeMount(name=_claim_volumes(pool)[claim], mountPath=f"/models/{index}", readOnly=True)
                for index, claim in enumerate(pool.model_claims)
            ),
            *(_node_mount(pool, node) for node in pool.nodes),
        ],
    )


def _node_mount(pool: Pool, node: Node) -> VolumeMount:
    """Where ComfyUI imports it from, as the store sync laid it down. Python can do without writing __pycache__."""
    return VolumeMount(
        name=_claim_volumes(pool)[node.claim],
        mountPath=f"{_CUSTOM_NODES}/{node.name}",
        subPath=f"{OWN}/nodes/{node.commit}",
        readOnly=True,
    )


_PRE_STOP = f"until [ -e {_RUN}/drained ] || [ -e {_RUN}/restart ]; do sleep 0.2; done; kill -INT 1"


def _arguments(*, cpu: bool, models: bool) -> list[str]:
    return [
        *("--listen", "127.0.0.1", "--port", str(COMFYUI_PORT), "--disable-auto-launch"),
        *("--output-directory", f"{_WORK}/output", "--input-directory", f"{_WORK}/input"),
        *("--temp-directory", f"{_WORK}/temp", "--user-directory", f"{_WORK}/user"),
        *("--database-url", f"sqlite:///{_WORK}/user/comfyui.db"),
        *(["--extra-model-paths-config", f"{_CONFIG}/{_MODEL_PATHS}"] if models else []),  # no section: it exits
        *(["--cpu"] if cpu else []),
    ]


def _agent(pool: Pool, profile: HardwareProfile, settings: Settings) -> Container:
    env = {
        "COMFYARD_NAMESPACE": pool.namespace,
        "COMFYARD_GPUS": str(profile.spec.gpu.count),
        "COMFYARD_IMAGE": profile.spec.server.image,
        "COMFYARD_COMFYUI_URL": f"http://127.0.0.1:{COMFYUI_PORT}",
        "COMFYARD_OUTPUT_DIRECTORY": f"{_WORK}/output",
        "COMFYARD_INPUT_DIRECTORY": f"{_WORK}/input",
        "COMFYARD_INPUTS_DIRECTORY": _INPUTS,
        "COMFYARD_RUN_DIRECTORY": _RUN,
        "COMFYARD_RESULTS_DIRECTORY": _RESULTS,
        "COMFYARD_RESULTS_CLAIM": pool.results_claim,
        "COMFYARD_STUCK_SECONDS": str(settings.stuck_seconds),
        "COMFYARD_DRAIN_SECONDS": str(DRAIN_SECONDS),
        "COMFYARD_PORT": str(AGENT_PORT),
        node_report.ENVIRONMENT: node_report.report_name(profile, pool.packages),
    }
    own_name = ObjectFieldSelector(fieldPath="metadata.name")
    return Container(
        name="agent",
        image=settings.image,
        imagePullPolicy=settings.image_pull_policy,
        args=["agent"],
        env=[
            *(EnvVar(name=name, value=value) for name, value in env.items()),
            EnvVar(name="COMFYARD_SERVER", valueFrom=EnvVarSource(fieldRef=own_name)),
        ],
        resources=ResourceRequirements(requests={"cpu": "50m", "memory": "96Mi"}, limits={"memory": "512Mi"}),
        securityContext=container_security(),
        readinessProbe=_probe("/readyz", period=1, failures=3),
        livenessProbe=_probe("/livez", period=10, failures=3),
        volumeMounts=[
            VolumeMount(name="output", mountPath=f"{_WORK}/output"),
            VolumeMount(name="input", mountPath=f"{_WORK}/input"),
            VolumeMount(name="run", mountPath=_RUN),
            VolumeMount(name="agent-tmp", mountPath="/tmp"),  # noqa: S108 - an emptyDir
            TOKEN_MOUNT,
            *_results_and_inputs(pool),
        ],
    )


def _results_and_inputs(pool: Pool) -> list[VolumeMount]:
    """Results to be written; inputs to be read, also from what earlier jobs have written, on the same servers."""
    volumes, results = _claim_volumes(pool), pool.results_claim
    readable = [*([results] if results else []), *pool.input_claims]
    return [
        *([VolumeMount(name=volumes[results], mountPath=_RESULTS)] if results else []),
        *(VolumeMount(name=volumes[each], mountPath=f"{_INPUTS}/{each}", readOnly=True) for each in readable),
    ]


def _probe(path: str, *, period: int, failures: int) -> Probe:
    return Probe(
        httpGet=HTTPGetAction(path=path, port=AGENT_PORT),
        periodSeconds=period,
        failureThreshold=failures,
        timeoutSeconds=5,
    )


def _volumes(pool: Pool) -> list[Volume]:
    own = DownwardAPIVolumeFile(
        path=_MODEL_PATHS, fieldRef=ObjectFieldSelector(fieldPath=f"metadata.annotations['{_ANNOTATION_MODEL_PATHS}']")
    )
    empty = ("output", "input", "temp", "user", "tmp", "run", "agent-tmp")
    return [
        *(Volume(name=name, emptyDir=EmptyDirVolumeSource()) for name in empty),
        Volume(name="config", downwardAPI=DownwardAPIVolumeSource(items=[own])),
        *(
            Volume(
                name=name,
                persistentVolumeClaim=PersistentVolumeClaimVolumeSource(
                    claimName=claim, readOnly=claim != pool.results_claim or None
                ),
            )
            for claim, name in _claim_volumes(pool).items()
        ),
        token_volume(),
    ]


def _claim_volumes(pool: Pool) -> dict[str, str]:
    """The volume of each claim. One, whatever it is for: kubelet waits for ever for the second of one claim.

    Seen with Kubernetes 1.24 to 1.33 (kubernetes/kubernetes#132921).
    """
    named = [
        *((claim, f"models-{index}") for index, claim in enumerate(pool.model_claims)),
        *([(pool.results_claim, "results")] if pool.results_claim else []),
        *((claim, f"inputs-{index}") for index, claim in enumerate(pool.input_claims)),
    ]
    return dict(reversed(named))  # of several names of a claim the first
