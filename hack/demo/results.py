"""The files of a finished job, copied from their claim to this machine."""

import io
import tarfile
from pathlib import Path
from typing import Any

from hack.demo.cluster import Cluster


def fetch_results(cluster: Cluster, namespace: str, job: dict[str, Any], to: Path) -> list[Path]:
    """Copy what `status.outputs` names; returns the paths on this machine."""
    uris = [output["uri"] for output in job["status"]["outputs"]]
    claim = uris[0].removeprefix("claim://").split("/", 1)[0]
    paths = [uri.removeprefix(f"claim://{claim}/") for uri in uris]
    with cluster.reader(namespace, claim) as reader:
        archive = cluster.kubectl_bytes(
            "-n", namespace, "exec", reader, "--", "tar", "-C", "/claim", "-cf", "-", *paths
        )
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(to, filter="data")
    return [to / path for path in paths]
