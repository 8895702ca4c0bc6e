"""The two containers of a server: ComfyUI on 127.0.0.1, and the agent beside it.

ComfyUI 0.3.64 with a read-only root needs a writable TMPDIR and temp and user directories to start, an input directory
for some classes, and an output directory or every job fails at the last node; so each gets an emptyDir of its own.
As PID 1 it ignores SIGTERM and ends on SIGINT, so a preStop hook sends that, once the agent says that it has drained.
"""

from lightkube.models.core_v1 import (
    Container,
    EnvVar,
    EnvVarSource,
    ExecAction,
    HTTPGetAction,
    Lifecycle,
    LifecycleHandler,
    ObjectFieldSelector,
    Probe,
    ResourceRequirements,
)

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.pools import COMFYUI, Pool
from comfyard.controller.resources import node_report
from comfyard.controller.resources.restricted import LAST_WORDS, container_security
from comfyard.controller.resources.server_volumes import (
    INPUTS,
    MODEL_PATHS,
    RESULTS,
    RUN,
    WARM_UP,
    WORK,
    mounts_of_agent,
    mounts_of_comfyui,
)
from comfyard.controller.server_trouble import AGENT
from comfyard.controller.settings import Settings
from comfyard.controller.volumes import Volumes

AGENT_PORT = 8189
COMFYUI_PORT = 8188

_PRE_STOP = f"until [ -e {RUN}/drained ] || [ -e {RUN}/restart ]; do sleep 0.2; done; kill -INT 1"


def build_comfyui(pool: Pool, profile: HardwareProfile, volumes: Volumes) -> Container:
    """The container that renders; `volumes` are the claims of its namespace."""
    server, gpu = profile.spec.server, profile.spec.gpu
    gpus = {gpu.resource_name: str(gpu.count)} if gpu.count else {}
    return Container(
        name=COMFYUI,
        image=server.image,
        imagePullPolicy=server.image_pull_policy,
        command=list(server.command) or None,
        args=[*_arguments(pool, profile, volumes), *server.args],
        env=[
            EnvVar(name="TMPDIR", value=f"{WORK}/tmp"),  # noqa: S108 - an emptyDir
            *(EnvVar(name=e.name, value=e.value) for e in server.env),
        ],
        resources=ResourceRequirements(
            requests={k: str(v) for k, v in server.resources.requests.items()} or None,
            limits={**{k: str(v) for k, v in server.resources.limits.items()}, **gpus} or None,
        ),
        securityContext=container_security(),
        terminationMessagePolicy=LAST_WORDS,
        lifecycle=Lifecycle(preStop=LifecycleHandler(exec=ExecAction(command=["sh", "-c", _PRE_STOP]))),
        livenessProbe=Probe(
            exec=ExecAction(command=["sh", "-c", f"test ! -e {RUN}/restart"]),
            periodSeconds=5,
            failureThreshold=1,
            terminationGracePeriodSeconds=5,
        ),
        volumeMounts=mounts_of_comfyui(pool, profile),
    )


def maps_files(pool: Pool, profile: HardwareProfile, volumes: Volumes) -> bool:
    """Whether ComfyUI maps model files into memory. On a network volume each page would be a read of its own."""
    if profile.spec.mmap == "Auto":
        return volumes.shared.isdisjoint(pool.model_claims)
    return profile.spec.mmap == "Always"


def _arguments(pool: Pool, profile: HardwareProfile, volumes: Volumes) -> list[str]:
    return [
        *("--listen", "127.0.0.1", "--port", str(COMFYUI_PORT), "--disable-auto-launch"),
        *("--output-directory", f"{WORK}/output", "--input-directory", f"{WORK}/input"),
        *("--temp-directory", f"{WORK}/temp", "--user-directory", f"{WORK}/user"),
        *("--database-url", f"sqlite:///{WORK}/user/comfyui.db"),
        *(["--extra-model-paths-config", MODEL_PATHS] if pool.model_claims else []),  # no section: it exits
        *([] if maps_files(pool, profile, volumes) else ["--disable-mmap"]),
        *(["--cpu"] if profile.spec.gpu.count == 0 else []),
    ]


def build_agent(pool: Pool, profile: HardwareProfile, settings: Settings, warm_up: str) -> Container:
    """The container that reports; `warm_up` is what the server renders before it counts as ready, empty: nothing."""
    env = {
        "COMFYARD_NAMESPACE": pool.namespace,
        "COMFYARD_GPUS": str(profile.spec.gpu.count),
        "COMFYARD_IMAGE": profile.spec.server.image,
        "COMFYARD_COMFYUI_URL": f"http://127.0.0.1:{COMFYUI_PORT}",
        "COMFYARD_OUTPUT_DIRECTORY": f"{WORK}/output",
        "COMFYARD_INPUT_DIRECTORY": f"{WORK}/input",
        "COMFYARD_INPUTS_DIRECTORY": INPUTS,
        "COMFYARD_RUN_DIRECTORY": RUN,
        "COMFYARD_RESULTS_DIRECTORY": RESULTS,
        "COMFYARD_RESULTS_CLAIM": pool.results_claim,
        "COMFYARD_STUCK_SECONDS": str(settings.stuck_seconds),
        "COMFYARD_DRAIN_SECONDS": str(profile.spec.server.drain_seconds),
        "COMFYARD_PORT": str(AGENT_PORT),
        "COMFYARD_CUSTOM_NODES": ",".join(node.name for node in pool.nodes),
        **({"COMFYARD_WARM_UP": WARM_UP} if warm_up else {}),
        node_report.ENVIRONMENT: node_report.report_name(profile, pool.packages),
    }
    own_name = ObjectFieldSelector(fieldPath="metadata.name")
    return Container(
        name=AGENT,
        image=settings.image,
        imagePullPolicy=settings.image_pull_policy,
        args=["agent"],
        env=[
            *(EnvVar(name=name, value=value) for name, value in env.items()),
            EnvVar(name="COMFYARD_SERVER", valueFrom=EnvVarSource(fieldRef=own_name)),
        ],
        resources=ResourceRequirements(requests={"cpu": "50m", "memory": "96Mi"}, limits={"memory": "512Mi"}),
        securityContext=container_security(),
        terminationMessagePolicy=LAST_WORDS,
        readinessProbe=_probe("/readyz", period=1, failures=3),
        livenessProbe=_probe("/livez", period=10, failures=3),
        volumeMounts=mounts_of_agent(pool),
    )


def _probe(path: str, *, period: int, failures: int) -> Probe:
    return Probe(
        httpGet=HTTPGetAction(path=path, port=AGENT_PORT),
        periodSeconds=period,
        failureThreshold=failures,
        timeoutSeconds=5,
    )
