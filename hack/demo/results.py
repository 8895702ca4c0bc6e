"""The files of a finished job, copied from their claim to this machine by a pod that mounts it."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from hack.demo.cluster import Cluster

_READER = "results-reader"


def _reader(claim: str, image: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _READER},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "reader",
                    "image": image,
                    "command": ["sleep", "600"],
                    "volumeMounts": [{"name": "results", "mountPath": "/results", "readOnly": True}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            "volumes": [{"name": "results", "persistentVolumeClaim": {"claimName": claim}}],
        },
    }


def fetch_results(cluster: Cluster, namespace: str, job: dict[str, Any], to: Path) -> list[Path]:
    """Copy what `status.outputs` names; returns the paths on this machine."""
    uris = [output["uri"] for output in job["status"]["outputs"]]
    claim = uris[0].removeprefix("claim://").split("/", 1)[0]
    paths = [uri.removeprefix(f"claim://{claim}/") for uri in uris]
    cluster.apply(json.dumps(_reader(claim, cluster.images["comfyard"])), namespace)
    try:
        cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=60s", f"pod/{_READER}")
        archive = cluster.kubectl_bytes(
            "-n", namespace, "exec", _READER, "--", "tar", "-C", "/results", "-cf", "-", *paths
        )
    finally:
        cluster.kubectl("-n", namespace, "delete", "pod", _READER, "--wait=false")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(to, filter="data")
    return [to / path for path in paths]
