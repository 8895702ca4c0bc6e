"""The components of the one-node cluster: what each is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import control_plane
from hack.cluster.certificates import Authority
from hack.cluster.process import Component
from hack.cluster.settings import (
    API_PORT,
    API_SERVICE_ADDRESS,
    CGROUP,
    CLUSTER_DOMAIN,
    DNS_SERVICE_ADDRESS,
    NODE_ADDRESS,
    NODE_NAME,
    POD_CIDR,
    SERVICE_CIDR,
    Layout,
    write_if_changed,
)

SERVER = f"https://{NODE_ADDRESS}:{API_PORT}"

# Name of the certificate, Kubernetes' user and group.
_IDENTITIES = (
    ("admin", "admin", "system:masters"),
    ("kube-controller-manager", "system:kube-controller-manager", ""),
    ("kube-scheduler", "system:kube-scheduler", ""),
    ("kube-proxy", "system:kube-proxy", ""),
    ("network-policy", "network-policy", "system:masters"),
    ("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
)


def issue_certificates(layout: Layout) -> Authority:
    """Make all keys and kubeconfigs of a new cluster.

    Returns:
        The authority that issued them.
    """
    authority = Authority.create(layout.pki)
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{CLUSTER_DOMAIN}"]
    addresses = [
        *(f"DNS:{name}" for name in service),
        f"IP:{NODE_ADDRESS}",
        f"IP:{API_SERVICE_ADDRESS}",
        "IP:127.0.0.1",
    ]
    authority.issue("kube-apiserver", "kube-apiserver", addresses=addresses)
    authority.issue("kubelet", f"system:node:{NODE_NAME}", "system:nodes", [f"DNS:{NODE_NAME}", f"IP:{NODE_ADDRESS}"])
    authority.kubeconfig(layout.etc / "kubelet.kubeconfig", "kubelet", SERVER)
    for name, user, group in _IDENTITIES:
        authority.issue(name, user, group)
        authority.kubeconfig(layout.etc / f"{name}.kubeconfig", name, SERVER)
    authority.kubeconfig(layout.kubeconfig, "admin", SERVER)
    return authority


def control_plane_components(kube: Path, layout: Layout) -> list[Component]:
    """Describe etcd and the API server of the cluster.

    Returns:
        Both, in the order in which they start.
    """
    pki = layout.pki
    extra = [
        f"--advertise-address={NODE_ADDRESS}",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
    ]
    return [
        control_plane.etcd(kube, layout),
        control_plane.kube_apiserver(kube, layout, "0.0.0.0", API_PORT, extra),  # noqa: S104 - its own network stack
    ]


def containerd(layout: Layout, pause_image: str) -> Component:
    """Describe the container runtime: the machine's program with our own configuration, folders and socket.

    Returns:
        The component.
    """
    config = f"""\
version = 2
root = "{layout.root}/containerd"
state = "/run/containerd"
[grpc]
address = "{containerd_socket(layout)}"
[plugins."io.containerd.internal.v1.opt"]
path = "{layout.root}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause_image}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{_cni_plugins()}"
conf_dir = "{layout.etc}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""
    network = {
        "cniVersion": "0.4.0",
        "name": "comfyard",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": True,
                "hairpinMode": True,  # a pod may reach itself through its Service
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(layout.root / "cni"),
                    "ranges": [[{"subnet": POD_CIDR}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    write_if_changed(layout.etc / "containerd.toml", config)
    (layout.etc / "cni").mkdir(exist_ok=True)
    write_if_changed(layout.etc / "cni" / "comfyard.conflist", json.dumps(network))
    arguments: list[str | Path] = ["containerd", "--config", layout.etc / "containerd.toml"]
    return Component("containerd", arguments, layout.log / "containerd.log")


def containerd_socket(layout: Layout) -> Path:
    """Return where containerd listens; it works from the machine too."""
    return layout.run / "containerd.sock"


def node_components(kube: Path, network_policy: Path, layout: Layout) -> list[Component]:
    """Describe what starts once the API is served and containerd runs.

    Returns:
        The components, in any order.
    """
    return [
        _controller_manager(kube, layout),
        _configured(kube, layout, "kube-scheduler", _scheduler(layout)),
        _configured(
            *(kube, layout, "kubelet", _kubelet(layout), f"--kubeconfig={layout.etc}/kubelet.kubeconfig"),
            *(f"--hostname-override={NODE_NAME}", f"--node-ip={NODE_ADDRESS}", f"--root-dir={layout.root}/kubelet"),
            "--node-labels=nvidia.com/gpu.present=true",
        ),
        _configured(kube, layout, "kube-proxy", _proxy(layout)),
        _network_policy(network_policy, layout),
    ]


def _controller_manager(kube: Path, layout: Layout) -> Component:
    kubeconfig = layout.etc / "kube-controller-manager.kubeconfig"
    arguments: list[str | Path] = [
        *(kube, "kube-controller-manager", f"--kubeconfig={kubeconfig}", "--leader-elect=false"),
        *(f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}"),
        *("--bind-address=127.0.0.1", "--use-service-account-credentials=true"),
        *(
            f"--service-account-private-key-file={layout.pki}/service-account.key",
            f"--root-ca-file={layout.pki}/ca.crt",
        ),
        f"--cluster-signing-cert-file={layout.pki}/ca.crt",
        f"--cluster-signing-key-file={layout.pki}/ca.key",
        *(f"--cluster-cidr={POD_CIDR}", f"--service-cluster-ip-range={SERVICE_CIDR}"),
        *("--kube-api-qps=200", "--kube-api-burst=400"),
    ]
    return Component("kube-controller-manager", arguments, layout.log / "kube-controller-manager.log")


def _network_policy(program: Path, layout: Layout) -> Component:
    arguments: list[str | Path] = [
        *(program, f"--kubeconfig={layout.etc}/network-policy.kubeconfig", f"--hostname-override={NODE_NAME}"),
        f"--service-cluster-ip-range={SERVICE_CIDR}",
    ]
    return Component("network-policy", arguments, layout.log / "network-policy.log")


def _configured(kube: Path, layout: Layout, name: str, config: dict[str, Any], *flags: str) -> Component:
    file = layout.etc / f"{name}.yaml"
    write_if_changed(file, yaml.safe_dump(config, sort_keys=False))
    arguments: list[str | Path] = [kube, name, f"--config={file}", *flags]
    return Component(name, arguments, layout.log / f"{name}.log")


def _scheduler(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(layout.etc / "kube-scheduler.kubeconfig")},
        "leaderElection": {"leaderElect": False},
    }


def _kubelet(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(layout.pki / "kubelet.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,  # less than the machine's own is refused without CAP_SYS_RESOURCE
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(layout.etc / "resolv.conf"),
        "containerRuntimeEndpoint": f"unix://{containerd_socket(layout)}",
        "volumePluginDir": str(layout.root / "volume-plugins"),
        # Images come from no registry: one that is collected cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "maxPods": 250,
    }


def _proxy(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(layout.etc / "kube-proxy.kubeconfig")},
        "clusterCIDR": POD_CIDR,
        "hostnameOverride": NODE_NAME,
        "mode": "iptables",
        "oomScoreAdj": 0,
        # The kernel's limits are the machine's, not ours.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"},
    }


def write_resolv_conf(layout: Layout) -> None:
    """Copy the machine's resolver; a local one, as systemd's, cannot be reached from pods, so take what it uses."""
    candidates = [Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf")]
    source = next(path for path in candidates if path.exists())
    shutil.copyfile(source, layout.etc / "resolv.conf")


def _cni_plugins() -> Path:
    candidates = [Path("/usr/lib/cni"), Path("/opt/cni/bin")]
    return next((path for path in candidates if (path / "host-local").exists()), candidates[0])
