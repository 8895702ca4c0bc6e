"""The Debian packages that a node, the images and the tests need, installed only where their programs are missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hack.cluster.process import run, say
from hack.cluster.settings import ClusterError

# A file or program, and the package that has it: somebody's own containerd or runc is used, not replaced.
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ipset": "ipset",
    "catatonit": "catatonit",
    "ip": "iproute2",
    "openssl": "openssl",
}
IMAGES = {"mmdebstrap": "mmdebstrap", "buildah": "buildah"}
TESTS = {"fusermount3": "fuse3"}  # a file system without hard links
_POLICY = Path("/usr/sbin/policy-rc.d")


def install(wanted: dict[str, str]) -> None:
    """Install the packages whose programs are missing.

    Args:
        wanted: Programs or files, and the packages that have them.

    Raises:
        ClusterError: They cannot be installed here.
    """
    missing = sorted({package for program, package in wanted.items() if not _is_there(program)})
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ClusterError(f"please install {', '.join(missing)}; only on Debian and as root can this be done for you")
    say(f"packages: installing {' '.join(missing)}")
    with _no_service_starts():
        # Nothing may be removed for it: another containerd would stop the machine's own containers.
        command = ("install", "--yes", "--no-install-recommends", "--no-remove", *missing)
        with contextlib.suppress(ClusterError):
            _apt(*command)
            return
        _apt("update")
        _apt(*command)


def busybox(cache: Path) -> Path:
    """Fetch Debian's static busybox without installing it, for the few commands that run in the provisioner's pods.

    Returns:
        The program.
    """
    program = cache / "bin" / "busybox"
    if not program.exists():
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            command = ["apt-get", "download", "--quiet", "busybox-static"]
            if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode != 0:
                _apt("update")
                subprocess.run(command, cwd=folder, capture_output=True, check=True)
            package = next(Path(folder).glob("*.deb"))
            run("dpkg-deb", "--extract", package, folder)
            (Path(folder) / "bin" / "busybox").replace(program)
    return program


def which(program: str) -> str:
    """Return a program's path, wherever Debian puts it.

    Raises:
        ClusterError: It is not installed.
    """
    found = shutil.which(program)
    if found is None:
        raise ClusterError(f"{program} is needed and not on PATH")
    return found


def _is_there(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None


def _apt(*arguments: str) -> None:
    run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", *arguments)


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep Debian from starting, now or at boot, a containerd that was not here before."""
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    had_containerd = _is_there("containerd")
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink()
        if not had_containerd and shutil.which("systemctl"):
            run("systemctl", "disable", "containerd", check=False)
