"""etcd and kube-apiserver: how the cluster starts them, and both alone for tests of what only talks to the API."""

from __future__ import annotations

import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from hack.cluster import binaries
from hack.cluster.certificates import Authority
from hack.cluster.process import END_WITH_US, Component, Process, free_port, start, wait_until
from hack.cluster.settings import CLUSTER_DOMAIN, SERVICE_CIDR, ClusterError, Layout, Settings, write_if_changed


def _audit_policy(reader: str) -> dict[str, object]:
    """Tests count what a job writes by verb, user and user agent; what is read is counted of one user at most."""
    everything_of = [{"level": "Metadata", "users": [reader]}] if reader else []
    writes = {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]}
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [*everything_of, writes, {"level": "None"}],
    }


def etcd(kube: Path, layout: Layout) -> Component:
    """Describe etcd; it listens on sockets in our own folder only, so nobody else on the machine reaches it.

    Args:
        kube: The program.
        layout: The state it belongs to.

    Returns:
        The component.
    """
    nowhere = "http://localhost:1"  # it wants to tell other members an address, and there are none
    arguments: list[str | Path] = [
        *(kube, "etcd", "--data-dir", layout.root / "etcd", "--log-level=warn"),
        "--unsafe-no-fsync",  # this data may be lost with the machine, and is twice as fast
        *(f"--listen-client-urls=unix://{_etcd_socket(layout)}", f"--advertise-client-urls={nowhere}"),
        *(f"--listen-peer-urls=unix://{layout.run / 'etcd-peer.sock'}", f"--initial-advertise-peer-urls={nowhere}"),
        f"--initial-cluster=default={nowhere}",
        *("--quota-backend-bytes=4294967296", "--auto-compaction-mode=periodic", "--auto-compaction-retention=10m"),
    ]
    return Component("etcd", arguments, layout.log / "etcd.log")


def kube_apiserver(
    kube: Path, layout: Layout, address: str, port: int, extra: Sequence[str] = (), *, audited: str = ""
) -> Component:
    """Describe the API server, and write its audit policy.

    Args:
        kube: The program.
        layout: The state it belongs to; its keys must be there.
        address: Where it listens.
        port: Likewise.
        extra: Flags that only a cluster with a node needs.
        audited: The user whose reading is in the audit log, too.

    Returns:
        The component.
    """
    policy = layout.etc / "audit-policy.yaml"
    write_if_changed(policy, yaml.safe_dump(_audit_policy(audited), sort_keys=False))
    pki = layout.pki
    arguments: list[str | Path] = [
        *(kube, "kube-apiserver", f"--etcd-servers=unix://{_etcd_socket(layout)}"),
        *(f"--bind-address={address}", f"--secure-port={port}", f"--service-cluster-ip-range={SERVICE_CIDR}"),
        *(f"--tls-cert-file={pki}/kube-apiserver.crt", f"--tls-private-key-file={pki}/kube-apiserver.key"),
        *(f"--client-ca-file={pki}/ca.crt", "--authorization-mode=Node,RBAC"),
        *("--enable-admission-plugins=NodeRestriction", "--allow-privileged=true"),
        f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        *(f"--audit-policy-file={policy}", f"--audit-log-path={layout.audit_log}", "--audit-log-maxsize=1000"),
        *extra,
    ]
    return Component("kube-apiserver", arguments, layout.log / "kube-apiserver.log")


def is_ready(authority: Authority, server: str) -> bool:
    """Ask the API server whether it serves everything.

    Returns:
        Whether it does.
    """
    try:
        with urllib.request.urlopen(f"{server}/readyz", timeout=2, context=authority.client("admin")) as answer:  # noqa: S310
            return bool(answer.status == urllib.request.http.client.OK)  # type: ignore[attr-defined]
    except (urllib.error.URLError, OSError):
        return False


class ControlPlane:
    """etcd and an API server on a free port of the loopback, in a folder that goes away with it.

    RBAC and admission are those of a normal cluster. There is no controller manager: nothing collects the children of
    what is deleted, makes default service accounts or runs Jobs. Several may run at the same time, beside a cluster.
    They end with the thread that started them, so that a killed test run leaves none.

    Args:
        audited: The user whose reading is in the audit log, too.

    Example:
        ``with ControlPlane() as control_plane: client(control_plane.kubeconfig)``
    """

    def __init__(self, audited: str = "") -> None:
        self._audited = audited
        self._layout = Layout(Path(tempfile.gettempdir()))
        self._processes: list[Process] = []
        self.server = ""

    @property
    def kubeconfig(self) -> Path:
        """The path of an administrator's kubeconfig."""
        return self._layout.kubeconfig

    def kubeconfig_with(self, token: str, path: Path) -> Path:
        """Write a kubeconfig for whoever has a token, such as a ServiceAccount.

        Returns:
            The path that was given.
        """
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    @property
    def audit_log(self) -> Path:
        """The path of the audit log: every request that writes, one JSON object a line."""
        return self._layout.audit_log

    @property
    def logs(self) -> Path:
        """The folder of what etcd and the API server say."""
        return self._layout.log

    @property
    def pids(self) -> dict[str, int]:
        """The number of each process, for who measures what it costs."""
        return dict(zip(("etcd", "kube-apiserver"), (process.pid for process in self._processes), strict=True))

    def start(self) -> Self:
        """Start both and wait until the API is served.

        Returns:
            Itself.

        Raises:
            ClusterError: One of them ended, or was not ready in time.
        """
        kube = binaries.build(binaries.KUBE, Settings.from_environment().cache)
        self._layout = Layout(Path(tempfile.mkdtemp(prefix="comfyard-api-")))
        self._layout.create()
        port = free_port()
        self.server = f"https://127.0.0.1:{port}"
        authority = Authority.create(self._layout.pki)
        authority.issue("kube-apiserver", "kube-apiserver", addresses=["IP:127.0.0.1", "DNS:localhost"])
        authority.issue("admin", "admin", "system:masters")
        authority.kubeconfig(self.kubeconfig, "admin", self.server)
        alone = ["--endpoint-reconciler-type=none", "--advertise-address=127.0.0.1"]
        components = [
            etcd(kube, self._layout),
            kube_apiserver(kube, self._layout, "127.0.0.1", port, alone, audited=self._audited),
        ]
        for component in components:
            self._processes.append(start(component, prefix=END_WITH_US))
        ready = wait_until(lambda: self._ended() or is_ready(authority, self.server), 60, every=0.05)
        if not ready or self._ended():
            tails = "\n".join(f"{component.name}:\n{component.tail()}" for component in components)
            self.stop()
            raise ClusterError(f"the control plane does not start\n{tails}")
        return self

    def stop(self) -> None:
        """End both and remove their folder; nothing in it is worth an orderly end."""
        for process in reversed(self._processes):
            process.kill()
        if self._processes:
            shutil.rmtree(self._layout.root)
        self._processes.clear()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ended(self) -> bool:
        return not all(process.alive() for process in self._processes)


def _etcd_socket(layout: Layout) -> Path:
    return layout.run / "etcd.sock"
