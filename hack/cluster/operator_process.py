"""The operator as a process of this machine, in front of a control plane alone: for tests and benchmarks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from hack.cluster.process import END_WITH_US, free_port

_MANIFESTS = Path(__file__).parents[2] / "manifests" / "install.yaml"
_RIGHTS = {"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}


def installed_rights() -> str:
    """The part of the manifests, as YAML, that says what the installed operator may do."""
    objects = yaml.safe_load_all(_MANIFESTS.read_text())
    return yaml.safe_dump_all(obj for obj in objects if obj and obj["kind"] in _RIGHTS)


class OperatorProcess:
    """`comfyard operator`, which may be killed and started again.

    Args:
        kubeconfig: Its identity.
        log: What it says is added to this file.
        name: Of the pod that it takes itself for.
    """

    def __init__(self, kubeconfig: Path, log: Path, name: str = "comfyard-0") -> None:
        self.name = name
        self.port = 0
        self._kubeconfig = kubeconfig
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs. Raises SystemExit with the end of its log when it does not."""
        if self._process is None or self._process.poll() is not None:
            raise SystemExit(f"the operator has ended:\n{self._log.read_text()[-3000:]}")
        return self._process.pid

    def start(self) -> None:
        """Start it, with its probes on a free port."""
        self.port = free_port()
        env = {
            **os.environ,
            "KUBECONFIG": str(self._kubeconfig),
            "COMFYARD_IMAGE": "comfyard:test",
            "COMFYARD_POD_NAME": self.name,  # as after a restart of the container: it takes its own Lease at once
            "COMFYARD_PROBE_PORT": str(self.port),
        }
        command = [*END_WITH_US, sys.executable, "-m", "comfyard", "operator"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=env, stderr=log)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it. It must have been started."""
        assert self._process  # noqa: S101 - who calls has started it
        self._process.send_signal(number)

    def wait(self, seconds: float = 20) -> int:
        """Wait for its end; returns the exit status. It must have been started."""
        assert self._process  # noqa: S101 - likewise
        status, self._process = self._process.wait(timeout=seconds), None
        return status

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, if it was started, and wait until it is gone."""
        if self._process:
            self.send(how)
            self.wait()
