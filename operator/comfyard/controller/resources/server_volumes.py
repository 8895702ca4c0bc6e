"""What a server's containers share and mount: own folders, claims, and files that are annotations of the pod."""

import json

from lightkube.models.core_v1 import (
    DownwardAPIVolumeFile,
    DownwardAPIVolumeSource,
    EmptyDirVolumeSource,
    ObjectFieldSelector,
    PersistentVolumeClaimVolumeSource,
    Volume,
    VolumeMount,
)

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import GROUP
from comfyard.controller.pools import Node, Pool
from comfyard.controller.resources.restricted import TOKEN_MOUNT, token_volume
from comfyard.store.layout import OWN

WORK = "/comfyui"
RUN = "/comfyard/run"
RESULTS = "/results"
INPUTS = "/inputs"
MODEL_PATHS = "/comfyard/config/extra_model_paths.yaml"
WARM_UP = "/comfyard/config/warm-up.json"

_CONFIG = "/comfyard/config"
_CUSTOM_NODES = "/comfyard/custom_nodes"
_FILES = {MODEL_PATHS: f"{GROUP}/extra-model-paths", WARM_UP: f"{GROUP}/warm-up"}
"""Annotations of the pod, by the file that each becomes."""

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


def annotations(pool: Pool, warm_up: str) -> dict[str, str]:
    """What becomes files in the pod. `warm_up` is a prompt graph as JSON, empty when there is none."""
    files = {MODEL_PATHS: model_paths_yaml(pool), **({WARM_UP: warm_up} if warm_up else {})}
    return {_FILES[path]: content for path, content in files.items()}


def model_paths_yaml(pool: Pool) -> str:
    """The file for ComfyUI's --extra-model-paths-config: one section a claim, one for custom nodes. JSON is YAML."""
    sections: dict[str, dict[str, str]] = {
        f"claim{index}": {"base_path": f"/models/{index}", **{folder: f"{folder}/" for folder in _MODEL_FOLDERS}}
        for index, _ in enumerate(pool.model_claims)
    }
    if pool.nodes:
        sections["nodes"] = {"custom_nodes": _CUSTOM_NODES}
    return json.dumps(sections, indent=1)


def build_volumes(pool: Pool, profile: HardwareProfile, warm_up: str) -> list[Volume]:
    """All of the pod's."""
    empty = ("output", "input", "temp", "user", "tmp", "run", "agent-tmp")
    memory = profile.spec.server.shared_memory
    return [
        *(Volume(name=name, emptyDir=EmptyDirVolumeSource()) for name in empty),
        *(
            [Volume(name="shm", emptyDir=EmptyDirVolumeSource(medium="Memory", sizeLimit=str(memory)))]
            if memory
            else []
        ),
        Volume(
            name="config",
            downwardAPI=DownwardAPIVolumeSource(
                items=[_file(path) for path in _FILES if path != WARM_UP or warm_up],
            ),
        ),
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


def mounts_of_comfyui(pool: Pool, profile: HardwareProfile) -> list[VolumeMount]:
    """Models and custom nodes to be read; of the rest nothing that is not its own."""
    volumes = _claim_volumes(pool)
    return [
        *(VolumeMount(name=name, mountPath=f"{WORK}/{name}") for name in ("output", "input", "temp", "user", "tmp")),
        *([VolumeMount(name="shm", mountPath="/dev/shm")] if profile.spec.server.shared_memory else []),  # noqa: S108
        VolumeMount(name="run", mountPath=RUN, readOnly=True),
        VolumeMount(name="config", mountPath=_CONFIG, readOnly=True),
        *(
            VolumeMount(name=volumes[claim], mountPath=f"/models/{index}", readOnly=True)
            for index, claim in enumerate(pool.model_claims)
        ),
        *(_node_mount(volumes, node) for node in pool.nodes),
    ]


def mounts_of_agent(pool: Pool) -> list[VolumeMount]:
    """Results to be written; inputs to be read, also from what earlier jobs have written, on the same servers."""
    volumes, results = _claim_volumes(pool), pool.results_claim
    readable = [*([results] if results else []), *pool.input_claims]
    return [
        VolumeMount(name="output", mountPath=f"{WORK}/output"),
        VolumeMount(name="input", mountPath=f"{WORK}/input"),
        VolumeMount(name="run", mountPath=RUN),
        VolumeMount(name="config", mountPath=_CONFIG, readOnly=True),
        VolumeMount(name="agent-tmp", mountPath="/tmp"),  # noqa: S108 - an emptyDir
        TOKEN_MOUNT,
        *([VolumeMount(name=volumes[results], mountPath=RESULTS)] if results else []),
        *(VolumeMount(name=volumes[each], mountPath=f"{INPUTS}/{each}", readOnly=True) for each in readable),
    ]


def _node_mount(volumes: dict[str, str], node: Node) -> VolumeMount:
    """Where ComfyUI imports it from, as the store sync laid it down. Python can do without writing __pycache__."""
    return VolumeMount(
        name=volumes[node.claim],
        mountPath=f"{_CUSTOM_NODES}/{node.name}",
        subPath=f"{OWN}/nodes/{node.commit}",
        readOnly=True,
    )


def _file(path: str) -> DownwardAPIVolumeFile:
    field = ObjectFieldSelector(fieldPath=f"metadata.annotations['{_FILES[path]}']")
    return DownwardAPIVolumeFile(path=path.removeprefix(f"{_CONFIG}/"), fieldRef=field)


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
