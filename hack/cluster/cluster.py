"""The whole cluster: bring it up, repair it, say how it is, take it away."""

from __future__ import annotations

import concurrent.futures
import json
import string
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hack.cluster import binaries, images, machine, node, packages, project_images, tools
from hack.cluster.certificates import Authority
from hack.cluster.control_plane import is_ready
from hack.cluster.namespaces import Node
from hack.cluster.process import Component, run, say, wait_until
from hack.cluster.settings import (
    CLUSTER_DOMAIN,
    DNS_SERVICE_ADDRESS,
    KUBERNETES_VERSION,
    NODE_NAME,
    ClusterError,
    Layout,
    Settings,
)

_MANIFESTS = Path(__file__).parent / "manifests"
_GPU = "nvidia.com~1gpu"  # a JSON pointer writes the slash so


class Cluster:
    """A cluster of one node, all of whose state is in one folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.layout = Layout(settings.state)
        self._authority = Authority(self.layout.pki)
        self._created = self.layout.run / "created"  # there once nothing is missing that a repair would not bring
        self._began = time.monotonic()

    def up(self) -> None:
        """Make sure that a healthy cluster runs: do nothing, repair what ended, or make a new one."""
        with binaries.locked(self.settings.cache / "cluster.lock"):
            existing = Node.existing(self.layout) if self._created.exists() else None
            if existing and self._is_healthy(existing):
                say(f"the cluster is up; kubeconfig {self.layout.kubeconfig}")
                return
            self._prepare()
            if existing and self._repair(existing):
                return
            if self.layout.root.exists():
                self._say("taking away what is left of an earlier cluster")
            self._remove()
            self._create()

    def down(self) -> None:
        """End the cluster and take back everything that it changed, whatever state it is in."""
        with binaries.locked(self.settings.cache / "cluster.lock"):
            self._remove()
            self._say(f"the cluster is gone; what was built stays in {self.settings.cache}")

    def status(self) -> bool:
        """Print how each part is.

        Returns:
            Whether all is well.
        """
        existing = Node.existing(self.layout)
        if existing is None:
            say("there is no cluster; `make cluster` makes one")
            return False
        for component in self._components():
            say(f"{component.name:26}{'running' if existing.running(component.name) else 'NOT RUNNING'}")
        healthy = self._is_healthy(existing)
        say(f"{'cluster':26}{'healthy' if healthy else 'NOT HEALTHY; `make cluster` repairs it'}")
        say(f"{'kubeconfig':26}{self.layout.kubeconfig}")
        say(f"{'logs':26}{self.layout.log}")
        return healthy

    def running(self) -> bool:
        """Whether there is a cluster that images can be loaded into."""
        return Node.existing(self.layout) is not None and images.runtime_answers(self.layout)

    def kubectl(self, *arguments: str, text_in: str | None = None, check: bool = True) -> str:
        """Run kubectl against this cluster.

        Returns:
            What it printed.
        """
        program = tools.kubectl(self.settings.cache)
        return run(program, f"--kubeconfig={self.layout.kubeconfig}", *arguments, text_in=text_in, check=check)

    def _prepare(self) -> None:
        """Install and build what is missing, packages beside programs."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            installing = pool.submit(self._install)
            for binary in binaries.CLUSTER:
                binaries.build(binary, self.settings.cache)
            installing.result()

    def _install(self) -> None:
        packages.install({**packages.NODE, **packages.IMAGES, **packages.TESTS})
        project_images.base(self.settings)  # not needed yet, but waits for downloads while programs are compiled

    def _create(self) -> None:
        machine.check()
        self._say(f"starting Kubernetes {KUBERNETES_VERSION} in {self.layout.root}")
        self.layout.create()
        node.write_resolv_conf(self.layout)
        node.issue_certificates(self.layout)
        place = Node.create(self.layout)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            runtime = pool.submit(self._start_containerd, place)
            self._start(place, self._control_plane())
            self._wait(lambda: is_ready(self._authority, node.SERVER), "kube-apiserver")
            self._say("the API server is ready")
            runtime.result()
        self._start(place, self._node_components())
        self._say("containerd, kubelet and controllers are started")
        self._apply_manifests()
        self._created.touch()
        self._finish()

    def _repair(self, place: Node) -> bool:
        """Start what ended, in its place; whether the cluster is healthy then."""
        ended = [component for component in self._components() if not place.running(component.name)]
        self._say(f"not healthy; starting again: {', '.join(component.name for component in ended) or 'nothing'}")
        try:
            self._start(place, ended)
            self._wait(lambda: is_ready(self._authority, node.SERVER), "kube-apiserver", 30)
            self._wait(lambda: images.runtime_answers(self.layout), "containerd", 30)
            self._finish()
        except ClusterError as error:
            self._say(f"it cannot be repaired: {error}")
            return False
        return True

    def _remove(self) -> None:
        machine.check_owner(self.layout)
        existing = Node.existing(self.layout)
        if existing:
            existing.kill()
        machine.kill_cgroups()
        machine.undo(self.layout)

    def _finish(self) -> None:
        """Wait for the node and the cluster's own pods, and pretend the GPUs."""
        nodes = ("get", "node", NODE_NAME, "--ignore-not-found", "--output=name")
        self._wait(lambda: bool(self.kubectl(*nodes)), "kubelet")
        count = str(self.settings.gpus)
        patch = [
            {"op": "add", "path": f"/status/{field}/{_GPU}", "value": count} for field in ("capacity", "allocatable")
        ]
        self.kubectl("wait", "--for=condition=Ready", f"node/{NODE_NAME}", "--timeout=60s")
        self.kubectl("patch", "node", NODE_NAME, "--subresource=status", "--type=json", "--patch", json.dumps(patch))
        for namespace, deployment in (("kube-system", "coredns"), ("local-path-storage", "local-path-provisioner")):
            self.kubectl("--namespace", namespace, "rollout", "status", f"deployment/{deployment}", "--timeout=60s")
        self._say(f"the cluster is up, with {count} pretended GPUs; kubeconfig {self.layout.kubeconfig}")

    def _is_healthy(self, place: Node) -> bool:
        if not all(place.running(component.name) for component in self._components()):
            return False
        if not is_ready(self._authority, node.SERVER) or not images.runtime_answers(self.layout):
            return False
        answer = self.kubectl("get", "node", NODE_NAME, "--output=json", check=False)
        status = json.loads(answer or "{}").get("status", {})
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))
        return ready and status["allocatable"].get("nvidia.com/gpu") == str(self.settings.gpus)

    def _control_plane(self) -> list[Component]:
        return node.control_plane_components(self._program(binaries.KUBE), self.layout)

    def _node_components(self) -> list[Component]:
        kube, network_policy = self._program(binaries.KUBE), self._program(binaries.NETWORK_POLICY)
        return node.node_components(kube, network_policy, self.layout)

    def _components(self) -> list[Component]:
        runtime = node.containerd(self.layout, images.pause(self.settings).reference)
        return [*self._control_plane(), runtime, *self._node_components()]

    def _start_containerd(self, place: Node) -> None:
        self._start(place, [node.containerd(self.layout, images.pause(self.settings).reference)])
        self._wait(lambda: images.runtime_answers(self.layout), "containerd")
        for image in images.essential(self.settings).values():
            images.load(self.layout, image)

    def _apply_manifests(self) -> None:
        values = {
            **{name: image.reference for name, image in images.essential(self.settings).items()},
            "CLUSTER_DOMAIN": CLUSTER_DOMAIN,
            "DNS_SERVICE_ADDRESS": DNS_SERVICE_ADDRESS,
            "VOLUMES": str(self.layout.root / "volumes"),
        }
        for manifest in sorted(_MANIFESTS.glob("*.yaml")):
            text = string.Template(manifest.read_text()).safe_substitute(values)
            self.kubectl("apply", "--server-side", "--filename=-", text_in=text)

    def _start(self, place: Node, components: Sequence[Component]) -> None:
        for component in components:
            place.start(component)

    def _wait(self, condition: Callable[[], bool], component: str, seconds: float = 60) -> None:
        if not wait_until(condition, seconds):
            raise ClusterError(f"{component} does not get ready; see {self.layout.log / component}.log")

    def _program(self, binary: binaries.Binary) -> Path:
        return binaries.path(binary, self.settings.cache)

    def _say(self, text: str) -> None:
        say(f"[{time.monotonic() - self._began:5.1f} s] {text}")
