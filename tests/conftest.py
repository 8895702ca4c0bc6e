"""Fixtures that every test folder may use: a real API server, clients of it, a namespace of one's own."""

import contextlib
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

import pytest

from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import Kind
from hack.cluster.control_plane import ControlPlane

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)


@contextlib.contextmanager
def started() -> Iterator[ControlPlane]:
    """etcd and an API server, with our kinds."""
    with ControlPlane() as plane:
        kubectl = Kubectl(plane.kubeconfig)
        kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
        yield plane


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """An API server of this test run."""
    with started() as plane:
        yield plane


@pytest.fixture
async def kube(control_plane: ControlPlane) -> AsyncIterator[LightkubeClient]:
    """Our client, as the cluster's administrator."""
    client = LightkubeClient.from_kubeconfig(control_plane.kubeconfig, "tests")
    yield client
    await client.close()


@pytest.fixture
async def namespace(kube: LightkubeClient) -> str:
    """A namespace that no other test uses."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    await kube.create(NAMESPACE, {"metadata": {"name": name}})
    return name


@pytest.fixture
def kubectl(control_plane: ControlPlane) -> "Kubectl":
    """kubectl, as the cluster's administrator."""
    return Kubectl(control_plane.kubeconfig)


@contextlib.contextmanager
def watching(command: Sequence[str], seconds: int) -> Iterator[Iterable[str]]:
    """What `kubectl get` prints while it watches, for so long at most."""
    with subprocess.Popen(["timeout", str(seconds), *command, "--watch"], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout or ()
        finally:
            process.terminate()


class Kubectl:
    """Runs kubectl and returns what it says, on either stream; `ok` is how it must end, if that is known."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    def __call__(self, *args: str, stdin: str = "", ok: bool | None = True) -> str:
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self._kubeconfig}", *args],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        text = done.stdout + done.stderr
        assert ok is None or (done.returncode == 0) == ok, text
        return text

    def until(self, check: Callable[[], T], *what: str, seconds: int) -> T:
        """Wait until that is true, and return it; it is asked again with each change of what kubectl watches."""
        command = ["kubectl", f"--kubeconfig={self._kubeconfig}", "get", *what, "-o", "name"]
        with watching(command, seconds) as lines:
            for _ in chain(["as it is now"], lines):
                if found := check():
                    return found
        raise AssertionError(f"{check()} of {' '.join(what)} after {seconds} s")
