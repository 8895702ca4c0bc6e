"""The operator as a process against a real API server; the tests play kubelet, store sync and agent by status alone."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml

from comfyard.api.conditions import timestamp
from hack.cluster.control_plane import ControlPlane
from hack.cluster.operator_process import OperatorProcess, installed_rights
from tests.builders import SHA, template_spec
from tests.conftest import Kubectl, T, started
from tests.unit.agent.harness import kubeconfig_for

SECONDS = 60
WAIT = f"--timeout={SECONDS}s"


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """An API server of one file: an operator looks at everything there is, and it is started often."""
    with started() as plane:
        yield plane


def as_installed(control_plane: ControlPlane, folder: Path) -> Path:
    """A kubeconfig with the rights of the installed operator, and no more."""
    admin = Kubectl(control_plane.kubeconfig)
    admin("apply", "-f", "-", stdin=installed_rights())
    return kubeconfig_for(control_plane, admin, "comfyard-system", folder, "comfyard")


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """A running operator, for one file: in others, tests play it."""
    folder = tmp_path_factory.mktemp("operator")
    process = OperatorProcess(as_installed(control_plane, folder), folder / "log")
    process.start()
    yield process
    process.stop()


class Studio:
    """A namespace with everything a job needs, and what kubelet, the sync and the agent would do in it."""

    def __init__(self, kubectl: Kubectl, namespace: str, audit_log: Path, operator: OperatorProcess) -> None:
        self.operator = operator
        self._kubectl = kubectl
        self.namespace = namespace
        self.profile = f"p-{namespace}"
        self._audit_log = audit_log

    def kubectl(self, *args: str, stdin: str = "", ok: bool | None = True) -> str:
        return self._kubectl("-n", self.namespace, *args, stdin=stdin, ok=ok)

    def create(self, kind: str, name: str, spec: dict[str, Any], **more: Any) -> None:
        obj = {"apiVersion": "comfyard.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec, **more}
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(obj))

    def create_profile(self, max_servers: int = 2, idle_seconds: int = 600, queue_depth: int = 1) -> None:
        pool = {"maxServers": max_servers, "idleSeconds": idle_seconds, "queueDepth": queue_depth}
        self.create("HardwareProfile", self.profile, {"server": {"image": "comfyui:1"}, "pool": pool})

    def create_template(self, **more: Any) -> None:
        self.create("WorkflowTemplate", "text-to-image", template_spec(**more))

    def create_bundle(self) -> None:
        source = {"http": {"url": "http://host/x"}}
        models = [{"path": "checkpoints/sd15.safetensors", "source": source, "sha256": SHA}]
        self.create("ModelBundle", "sd15", {"models": models})

    def sync_bundle(self) -> None:
        """What the store sync reports when all is well."""
        row = {"path": "checkpoints/sd15.safetensors", "state": "Ready", "sha256": SHA, "size": 10, "bytes": 10}
        self.patch_status("cmb", "sd15", {"syncedGeneration": 1, "models": [row]})

    def prepare(self, max_servers: int = 2, idle_seconds: int = 600, queue_depth: int = 1) -> None:
        self.create_profile(max_servers, idle_seconds, queue_depth)
        self.create_bundle()
        self.create_template()
        self.sync_bundle()
        self.wait_ready("cmb/sd15")
        self.wait_ready("cwt/text-to-image")

    def order(self, name: str, **spec: Any) -> None:
        whole = {
            "template": {"name": "text-to-image"},
            "profiles": [self.profile],
            "parameters": {"prompt": "x"},
            **spec,
        }
        self.create("GenerationJob", name, whole)

    def patch_status(self, kind: str, name: str, status: dict[str, Any]) -> None:
        patch = json.dumps({"status": status})
        self.kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", patch)

    def wait_ready(self, what: str) -> None:
        self.kubectl("wait", "--for=condition=Ready", WAIT, what)

    def until(self, check: Callable[[], T], *what: str) -> T:
        """Wait until that is true, which may become so when what is named changes; returns it."""
        return self._kubectl.until(check, "-n", self.namespace, *what, seconds=SECONDS)

    def wait(self, what: str, path: str, value: str) -> None:
        self.kubectl("wait", f"--for=jsonpath={{{path}}}={value}", WAIT, what)

    def wait_assigned(self, name: str) -> None:
        """Wait until a server may work on a job. Its state tells late: an agent that fails leaves it as it is."""
        self.kubectl("wait", "--for=jsonpath={.status.assignment.id}", WAIT, f"cgj/{name}")

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get("cgj", name)["status"]
        return found

    def servers(self) -> list[str]:
        return self.kubectl("get", "pods", "-l", "app.kubernetes.io/component=server", "-o", "name").split()

    def wait_servers(self, count: int) -> list[str]:
        """Wait until there are at least so many pods. They are made after the job has been told."""
        return self.until(lambda: found if len(found := self.servers()) >= count else [], "pods")

    def server_is_ready(self, pod: str) -> None:
        """What kubelet says once the agent's probe passes."""
        condition = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp(datetime.now(UTC))}
        self.patch_status("pod", pod.removeprefix("pod/"), {"phase": "Running", "conditions": [condition]})

    def wait_message(self, name: str, part: str) -> None:
        """Wait until a job's message tells something."""
        self.until(lambda: part in self.status(name).get("message", ""), "cgj", name)

    def start_server(self) -> str:
        """Wait for a pod, and let it be ready."""
        pod = self.wait_servers(1)[-1]
        self.server_is_ready(pod)
        return pod

    def complete(self, name: str) -> None:
        """What the agent writes when all files are stored."""
        conditions = [
            {"type": t, "status": s, "reason": "Complete", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}
            for t, s in (("Ready", "True"), ("Complete", "True"), ("Reconciling", "False"), ("Stalled", "False"))
        ]
        self.patch_status("cgj", name, {"state": "Complete", "conditions": conditions, "assignment": None})

    def fail(self, name: str, kind: str, message: str) -> None:
        """What the agent writes when an attempt has failed."""
        status = self.status(name)
        end = "2026-01-02T03:04:05Z"
        record = {"id": status["assignment"]["id"], "server": status["assignment"]["server"], "start": end, "end": end}
        record |= {"outcome": "Failed", "class": kind, "message": message}
        self.patch_status("cgj", name, {"attempts": [*status.get("attempts", []), record], "assignment": None})

    def writes(self, resource: str, name: str) -> list[str]:
        """Verb and user agent of every write to an object and its status that was taken, from the audit log."""
        lines = (json.loads(line) for line in self._audit_log.read_text().splitlines())
        return [
            f"{line['verb']} {line['userAgent'].split('/')[0]}"
            for line in lines
            if line["objectRef"].get("namespace") == self.namespace
            and line["objectRef"]["resource"] == resource
            and line["objectRef"].get("name") == name
            and line["stage"] == "ResponseComplete"
            and line["responseStatus"]["code"] < HTTPStatus.MULTIPLE_CHOICES
        ]


@pytest.fixture
def studio(control_plane: ControlPlane, kubectl: Kubectl, namespace: str, operator: OperatorProcess) -> Studio:
    """A namespace, with a running operator."""
    return Studio(kubectl, namespace, control_plane.audit_log, operator)
