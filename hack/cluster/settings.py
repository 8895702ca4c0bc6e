"""Where the local cluster keeps its things, and the versions and addresses that its parts have to agree on."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

KUBERNETES_VERSION = "v1.34.3"
HELM_VERSION = "v4.3.1"

# The cluster has a network stack of its own, so no port of the machine is used; only this range must be free there.
CLUSTER_CIDR = "10.213.0.0/16"
MACHINE_ADDRESS = "10.213.0.1"  # the machine, as pods see it
NODE_ADDRESS = "10.213.0.2"  # the node, and on it the API server, as the machine and pods see it
NODE_PREFIX = 30
SERVICE_CIDR = "10.213.64.0/18"
API_SERVICE_ADDRESS = "10.213.64.1"
DNS_SERVICE_ADDRESS = "10.213.64.10"
POD_CIDR = "10.213.128.0/17"
API_PORT = 6443

NODE_NAME = "comfyard"
LINK = "comfyard0"  # the machine's end of the cable to the node
CGROUP = "comfyard"
CLUSTER_DOMAIN = "cluster.local"

REPOSITORY = Path(__file__).resolve().parents[2]


def short_hash(*parts: str) -> str:
    """Name what was made from these parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def write_if_changed(file: Path, text: str) -> None:
    """Write a file, but not the same again: kube-proxy ends when its configuration is touched."""
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


class ClusterError(Exception):
    """Something that a person has to put right; its text is shown without a traceback."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen, all of it by environment variables so that make, CI and a shell agree."""

    cache: Path
    state: Path
    gpus: int
    kube_context: str
    image_registry: str
    kind: bool

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the settings.

        Returns:
            The settings of this process's environment.
        """
        environment = os.environ
        cache = environment.get("COMFYARD_CACHE") or Path.home() / ".cache" / "comfyard"
        return cls(
            cache=Path(cache).resolve(),
            state=Path(environment.get("COMFYARD_CLUSTER_DIR") or "/var/lib/comfyard-cluster").resolve(),
            gpus=int(environment.get("GPUS") or 4),
            kube_context=environment.get("KUBE_CONTEXT", ""),
            image_registry=environment.get("IMAGE_REGISTRY", "").rstrip("/"),
            kind=environment.get("CLUSTER", "") == "kind",
        )


@dataclass(frozen=True)
class Layout:
    """The folders below one control plane's or cluster's state."""

    root: Path

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def run(self) -> Path:
        """Sockets, and a file for each process that was started."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """One file for each component."""
        return self.root / "log"

    @property
    def etc(self) -> Path:
        """The components' configuration."""
        return self.root / "etc"

    @property
    def kubeconfig(self) -> Path:
        """For people and tests: everything is allowed."""
        return self.root / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """What was written through the API server, one JSON object a line."""
        return self.root / "audit.log"

    def create(self) -> None:
        """Make the folders; keys and tokens lie below them, so they are for their owner only."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for folder in (self.pki, self.run, self.log, self.etc):
            folder.mkdir(exist_ok=True)
