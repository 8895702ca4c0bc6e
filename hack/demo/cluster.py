"""The cluster in use, as the demo and the end-to-end tests drive it: kubectl, helm, and the images that were built."""

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster.env import Environment, current_environment

_PLACEHOLDERS = {
    "ghcr.io/example/comfysim:0.1.0": "comfysim",
    "ghcr.io/example/comfyard:0.1.0": "comfyard",
}
"""The images that examples name, and which of ours they stand for."""


class CommandError(Exception):
    """kubectl, helm or comfyard has failed, or is not there; the text is the command and what it said."""


@dataclass(frozen=True)
class Cluster:
    """Where commands go.

    Attributes:
        environment: Kubeconfig, context and tools.
        images: References of the images that were built last, by name.
        root: The checkout.
    """

    environment: Environment
    images: dict[str, str]
    root: Path

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig whose current context is the cluster."""
        return self.environment.kubeconfig

    def kubectl(self, *args: str, stdin: str = "") -> str:
        """Run kubectl; returns what it printed. Raises CommandError."""
        return self._run(self.environment.kubectl_command(*args), stdin.encode()).stdout.decode()

    def kubectl_bytes(self, *args: str) -> bytes:
        """Run kubectl; returns what it printed, as it is."""
        return self._run(self.environment.kubectl_command(*args), b"").stdout

    def helm(self, *args: str) -> str:
        """Run helm; returns what it printed. Raises CommandError."""
        return self._run(self.environment.helm_command(*args), b"").stdout.decode()

    def comfyard(self, *args: str) -> str:
        """Run the command line of this checkout; returns what it printed, also on stderr. Raises CommandError."""
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        done = self._run([sys.executable, "-m", "comfyard", *args], b"", environment)
        return (done.stdout + done.stderr).decode()

    def apply(self, manifest: str, namespace: str = "") -> str:
        """`kubectl apply -f -`."""
        where = ("-n", namespace) if namespace else ()
        return self.kubectl(*where, "apply", "-f", "-", stdin=manifest)

    def with_images(self, manifest: str) -> str:
        """The manifest with the images that were built, in place of those that examples name."""
        for placeholder, name in _PLACEHOLDERS.items():
            manifest = manifest.replace(placeholder, self.images[name])
        return manifest

    def audit_log(self) -> str:
        """What the API server has written down of requests that change something. Only our own cluster has one."""
        return self.environment.audit_log.read_text()

    @contextlib.contextmanager
    def reader(self, namespace: str, claim: str, *, writes: bool = False) -> Iterator[str]:
        """A pod that has a claim mounted at /claim, read-only unless it writes; yields its name and deletes it."""
        name = f"reader-{uuid.uuid4().hex[:6]}"
        self.apply(json.dumps(_reader(name, claim, self.images["comfyard"], writes=writes)), namespace)
        try:
            self.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=60s", f"pod/{name}")
            yield name
        finally:
            self.kubectl("-n", namespace, "delete", "pod", name, "--wait=false")

    @staticmethod
    def _run(
        command: list[str], stdin: bytes, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=600, env=environment)
        if done.returncode != 0:
            raise CommandError(f"{' '.join(command)}\n{(done.stderr or done.stdout).decode().strip()}")
        return done


def current_cluster(root: Path) -> Cluster:
    """The cluster and images that `make cluster images` have prepared. Raises CommandError when they have not."""
    images = root / "build" / "images.json"
    if not images.exists():
        raise CommandError(f"{images} is not there: run `make cluster images` first")
    return Cluster(current_environment(), json.loads(images.read_text()), root)


def _reader(name: str, claim: str, image: str, *, writes: bool) -> dict[str, Any]:
    security = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "reader",
        "image": image,
        "command": ["sleep", "600"],
        "volumeMounts": [{"name": "claim", "mountPath": "/claim", "readOnly": not writes}],
        "securityContext": security,
    }
    user = {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": user,
            "containers": [container],
            "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }
