"""What is measured: the operator as a process against a real API server, and a namespace where its jobs can run."""

import asyncio
import contextlib
import signal
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from comfyard.api.conditions import is_true
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate
from comfyard.kube.kinds import HARDWARE_PROFILE, MODEL_BUNDLE, NAMESPACE, WORKFLOW_TEMPLATE, Kind, Obj, name_of
from hack.bench import quickstart
from hack.bench.api import Api
from hack.bench.audit import OPERATOR, AuditLog
from hack.cluster import tools
from hack.cluster.control_plane import ControlPlane
from hack.cluster.operator_process import OperatorProcess, installed_rights
from hack.cluster.process import run
from hack.cluster.settings import Settings

ROOT = Path(__file__).parents[2]
SYSTEM = "comfyard-system"
BENCH = "bench"
"""The user agent of what creates jobs, and its ServiceAccount."""

_AUDITED = f"system:serviceaccount:{SYSTEM}:{OPERATOR}"
_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.1


class Plane:
    """A control plane with our kinds, and kubeconfigs of ServiceAccounts in it."""

    def __init__(self, control_plane: ControlPlane, folder: Path) -> None:
        self.control_plane = control_plane
        self.folder = folder
        self._kubectl = tools.kubectl(Settings.from_environment().cache)

    def install(self) -> Path:
        """Our kinds, and the rights of the installed operator; returns the kubeconfig of everything else here."""
        crds = str(ROOT / "crds")
        self.kubectl("apply", "--server-side", "-f", crds)
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", crds)
        self.kubectl("apply", "-f", "-", stdin=installed_rights())
        self.kubectl("-n", SYSTEM, "create", "serviceaccount", BENCH)
        rights = ("--clusterrole=cluster-admin", f"--serviceaccount={SYSTEM}:{BENCH}")
        self.kubectl("create", "clusterrolebinding", BENCH, *rights)
        return self.kubeconfig(SYSTEM, BENCH)

    def kubeconfig(self, namespace: str, account: str) -> Path:
        """The identity of a program: a token of its ServiceAccount."""
        token = self.kubectl("-n", namespace, "create", "token", account, "--duration=6h").strip()
        return self.control_plane.kubeconfig_with(token, self.folder / f"kubeconfig-{namespace}-{account}")

    def kubectl(self, *args: str, stdin: str = "") -> str:
        """Run kubectl as administrator; returns what it printed. Raises ClusterError."""
        return run(self._kubectl, f"--kubeconfig={self.control_plane.kubeconfig}", *args, text_in=stdin)


class Studio:
    """A namespace with everything that jobs need but servers."""

    def __init__(self, api: Api, pool: Mapping[str, int]) -> None:
        self.api = api
        self.namespace = f"bench-{uuid.uuid4().hex[:6]}"
        self.pool = {"maxServers": 20, "idleSeconds": 3600, **pool}

    async def prepare(self) -> None:
        """The quickstart's bundle and template, and a profile; done once they are Ready."""
        await self.api.create(NAMESPACE, {"metadata": {"name": self.namespace}})
        profile = quickstart.example(quickstart.PROFILE)
        profile["metadata"]["name"] = self.namespace
        profile["spec"]["pool"] = self.pool
        await self.api.create(HARDWARE_PROFILE, profile)
        bundle = await self._create(MODEL_BUNDLE, quickstart.BUNDLE)
        template = await self._create(WORKFLOW_TEMPLATE, quickstart.TEMPLATE)
        await self._sync(bundle)
        await self._ready(WorkflowTemplate, WORKFLOW_TEMPLATE, name_of(template))
        await self._ready(ModelBundle, MODEL_BUNDLE, name_of(bundle))

    async def _create(self, kind: Kind, file: str) -> Obj:
        obj = quickstart.example(file)
        obj["metadata"]["namespace"] = self.namespace
        return await self.api.create(kind, obj)

    async def _sync(self, bundle: Obj) -> None:
        """What the store sync reports when all is well."""
        rows = [
            {"path": model["path"], "state": "Ready", "sha256": model["sha256"], "size": 10, "bytes": 10}
            for model in bundle["spec"]["models"]
        ]
        status = {"syncedGeneration": bundle["metadata"]["generation"], "models": rows}
        await self.api.merge_status(MODEL_BUNDLE, name_of(bundle), self.namespace, status)

    def job(self, name: str, seed: int) -> Obj:
        """An order."""
        return quickstart.job(self.namespace, name, seed)

    async def _ready(self, model: type[WorkflowTemplate | ModelBundle], kind: Kind, name: str) -> None:
        async with asyncio.timeout(_READY_SECONDS):
            while True:
                obj = model.model_validate(await self.api.get(kind, name, self.namespace))
                if is_true(obj.status.conditions, "Ready"):
                    return
                await asyncio.sleep(_LOOK_SECONDS)


@dataclass
class Bed:
    """Everything that a section uses."""

    plane: Plane
    api: Api
    kubeconfig: Path
    operator: OperatorProcess
    studio: Studio
    audit: AuditLog


@contextlib.asynccontextmanager
async def bed(**pool: int) -> AsyncIterator[Bed]:
    """A control plane with an operator and a namespace that is ready for jobs; `pool` are fields of its profile's."""
    with (
        ControlPlane(audited=_AUDITED) as control_plane,
        TemporaryDirectory(prefix="comfyard-bench-") as folder,
    ):
        plane = Plane(control_plane, Path(folder))
        kubeconfig = plane.install()
        operator = OperatorProcess(plane.kubeconfig(SYSTEM, OPERATOR), Path(folder) / "operator.log")
        operator.start()
        try:
            async with Api(kubeconfig, BENCH) as api:
                studio = Studio(api, pool)
                await studio.prepare()
                yield Bed(plane, api, kubeconfig, operator, studio, AuditLog(control_plane.audit_log))
        finally:
            operator.stop(signal.SIGKILL)
