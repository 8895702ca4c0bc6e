"""The cluster's programs, built from source by Go and kept by the content that they were built from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hack.cluster.process import run, say
from hack.cluster.settings import HELM_VERSION, KUBERNETES_VERSION, ClusterError

_MODULES = Path(__file__).parent / "go"

_VERSION = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.lstrip("v").split(".")
_STAMP = (
    f"-X {_VERSION}.gitVersion={KUBERNETES_VERSION} -X {_VERSION}.gitMajor={_MAJOR} -X {_VERSION}.gitMinor={_MINOR}"
)


@dataclass(frozen=True)
class Binary:
    """A program: a package of a module here, or with a version one that is built from its own module."""

    name: str
    package: str
    version: str = ""
    takes: str = "a minute"
    module: str = "cluster"

    @property
    def folder(self) -> Path:
        """The folder of the module that says which versions it is built with."""
        return _MODULES / self.module

    def command(self, output: Path) -> list[str]:
        """Return the command that builds it into a folder."""
        flags = ["-trimpath", "-tags=providerless", f"-ldflags=-s -w {_STAMP if self.name == 'kube' else ''}".rstrip()]
        if self.version:
            return ["go", "install", *flags, f"{self.package}@{self.version}"]
        return ["go", "build", *flags, "-o", str(output / self.name), self.package]

    def key(self) -> str:
        """Hash everything that its content depends on."""
        digest = hashlib.sha256(_go_version().encode())
        digest.update("\0".join(self.command(Path())).encode())
        module = [self.folder / "go.mod", self.folder / "go.sum", *(self.folder / self.package).glob("*.go")]
        for source in [] if self.version else sorted(module):
            digest.update(source.read_bytes())
        return digest.hexdigest()[:16]


# The cluster's have one module, so that they share the versions, and thereby the compiled packages, of Kubernetes.
KUBE = Binary("kube", "./cmd/kube", takes="4 to 12 minutes")
COREDNS = Binary("coredns", "./cmd/coredns")
NETWORK_POLICY = Binary("network-policy", "./cmd/network-policy")
LOCAL_PATH_PROVISIONER = Binary("local-path-provisioner", "github.com/rancher/local-path-provisioner")
HELM = Binary("helm", "helm.sh/helm/v4/cmd/helm", HELM_VERSION)
KUEUE = Binary("kueue", "sigs.k8s.io/kueue/cmd/kueue", takes="4 to 6 minutes", module="kueue")
CLUSTER = (KUBE, COREDNS, NETWORK_POLICY, LOCAL_PATH_PROVISIONER)


def path(binary: Binary, cache_folder: Path) -> Path:
    """Return where a program is, or will be."""
    return cache_folder / "bin" / f"{binary.name}-{binary.key()}" / binary.name


def build(binary: Binary, cache_folder: Path) -> Path:
    """Build a program unless it is there.

    Args:
        binary: The program.
        cache_folder: Where built things are kept.

    Returns:
        Its path.

    Raises:
        ClusterError: Go is missing or the build failed.
    """
    target = path(binary, cache_folder)
    if target.exists():
        return target
    with locked(cache_folder / "bin.lock"):
        if target.exists():
            return target
        say(f"{binary.name}: building it from source; this once takes {binary.takes}")
        began = time.monotonic()
        unfinished = target.parent.with_name(f".{target.parent.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(unfinished)}
        done = subprocess.run(
            binary.command(unfinished), cwd=binary.folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ClusterError(f"building {binary.name} failed:\n{done.stderr.strip()[-3000:]}")
        shutil.rmtree(target.parent, ignore_errors=True)
        unfinished.rename(target.parent)  # only a whole program ever has the final name
        say(f"{binary.name}: built in {time.monotonic() - began:.0f} s")
    return target


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Let one process at a time do something; the system lets go of the lock of one that dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _go_version() -> str:
    if shutil.which("go") is None:
        raise ClusterError("Go 1.24 or newer is needed to build Kubernetes; install it and put it on PATH")
    return run("go", "env", "GOVERSION", "GOOS", "GOARCH")
