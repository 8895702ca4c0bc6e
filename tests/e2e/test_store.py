"""What one claim holds for several bundles, and what becomes of it: shared, removed, repaired, interrupted, full."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from comfyard.controller.resources.sync_job import sync_name
from hack.cluster.namespaces import Node
from hack.cluster.settings import Layout, Settings
from hack.demo.cluster import Cluster
from tests.e2e.conftest import CHECKPOINT, PULL, Studio, serve_models

pytestmark = pytest.mark.e2e

CLAIM = "comfyard-models"
GB = 1_000_000_000
LINKS = """
import json, pathlib
root = pathlib.Path("/claim")
found = [p.lstat() for p in root.rglob("*") if p.is_file() and not p.is_symlink()]
print(json.dumps({
    "used": sum({s.st_ino: s.st_blocks * 512 for s in found}.values()),
    "visible": sorted(str(p.relative_to(root)) for p in root.glob("[!.]*/*")),
}))
"""
ROT = f"""
import os
path = "/claim/checkpoints/{CHECKPOINT}"
before = os.stat(path)
with open(path, "r+b") as file:
    file.seek(before.st_size // 2)
    byte = file.read(1)
    file.seek(before.st_size // 2)
    file.write(bytes([byte[0] ^ 1]))
os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
"""


def look(studio: Studio, claim: str = CLAIM) -> dict[str, Any]:
    """What a claim holds: bytes on the disk, and the paths that ComfyUI sees."""
    found: dict[str, Any] = json.loads(studio.on_claim(claim, LINKS))
    return found


def test_two_bundles_share_a_file_until_both_are_deleted(studio: Studio) -> None:
    with serve_models(studio.cluster, f"{studio.namespace}-host", "0", big=GB) as models:
        first = {"models": [{"path": "checkpoints/big.safetensors", **models["big"]}], "deletionPolicy": "Delete"}
        second = {"models": [{"path": "checkpoints/same.safetensors", **models["big"]}], "deletionPolicy": "Delete"}
        studio.create("ModelBundle", "first", first)
        studio.create("ModelBundle", "second", second)
        studio.wait("Ready", "cmb/first")
        studio.wait("Ready", "cmb/second")
    both = look(studio)
    assert both["visible"] == ["checkpoints/big.safetensors", "checkpoints/same.safetensors"]
    assert GB <= both["used"] < 1.1 * GB
    studio.kubectl("delete", "cmb/first", PULL)
    one = look(studio)
    assert one["visible"] == ["checkpoints/same.safetensors"]
    assert one["used"] >= GB
    studio.kubectl("delete", "cmb/second", PULL)
    none = look(studio)
    assert none["visible"] == []
    assert none["used"] < 0.01 * GB


def test_a_file_that_rots_is_found_and_repaired(studio: Studio) -> None:
    studio.create_bundle(studio.checkpoint)
    studio.wait("Ready", "cmb/sd15")
    with studio.cluster.reader(studio.namespace, CLAIM, writes=True) as pod:
        studio.kubectl("exec", pod, "--", "python", "-c", ROT)
    studio.kubectl("patch", "cmb/sd15", "--type=merge", "-p", '{"spec": {"verifyEverySeconds": 1}}')
    assert CHECKPOINT in studio.wait_for_event("Repaired")
    studio.kubectl("patch", "cmb/sd15", "--type=merge", "-p", '{"spec": {"verifyEverySeconds": 604800}}')
    studio.wait("Ready", "cmb/sd15")
    program = f"import hashlib; print(hashlib.sha256(open('/claim/checkpoints/{CHECKPOINT}', 'rb').read()).hexdigest())"
    assert studio.on_claim(CLAIM, program).strip() == studio.checkpoint["sha256"]


def test_a_download_whose_pod_is_deleted_five_times_ends(studio: Studio) -> None:
    with serve_models(studio.cluster, f"{studio.namespace}-host", "1M", slow=200_000_000) as models:
        studio.create_bundle(models["slow"])
        for deleted in range(1, 6):
            # Each life has written more than the one before: it goes on, it does not begin anew.
            studio.wait_for_bytes("sd15", deleted * 5_000_000)
            studio.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=sync", "--grace-period=0", "--force")
        studio.wait("Ready", "cmb/sd15")
    model = studio.get("cmb", "sd15")["status"]["models"][0]
    assert model["sha256"] == models["slow"]["sha256"]
    assert look(studio)["visible"] == [f"checkpoints/{CHECKPOINT}"]


def test_a_full_claim_stalls_the_bundle_until_there_is_room(studio: Studio) -> None:
    with (
        serve_models(studio.cluster, f"{studio.namespace}-host", "0", wide=200_000_000) as models,
        small_claim(studio, "small", "100m") as enlarge,
    ):
        studio.create_bundle(models["wide"], store={"claimName": "small"})
        studio.wait("Stalled", "cmb/sd15")
        said = studio.get("cmb", "sd15")["status"]["conditions"]
        stalled = next(c for c in said if c["type"] == "Stalled")
        assert stalled["reason"] == "NoSpace"
        assert "MB" in stalled["message"]
        enlarge("400m")
        studio.wait("Ready", "cmb/sd15")
        studio.kubectl("delete", "cmb/sd15", PULL)


def test_a_claim_that_cannot_be_bound_is_told(studio: Studio) -> None:
    template = {"storageClassName": "there-is-none", "size": "1Gi"}
    studio.create_bundle(studio.checkpoint, store={"claimTemplate": template})
    studio.wait("Stalled", "cmb/sd15")
    assert "there-is-none" in studio.kubectl("describe", "cmb/sd15")


@contextmanager
def small_claim(studio: Studio, name: str, size: str) -> Iterator[Any]:
    """A claim whose volume really has no more room than its size; yields what enlarges it."""
    node = own_node(studio.cluster)
    volume = f"{studio.namespace}-{uuid.uuid4().hex[:4]}"
    folder = f"/run/{volume}"  # a file system of the node's own, which goes with it
    node.run("mkdir", folder)
    node.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", folder)
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "hostPath": {"path": folder, "type": "Directory"},
    }
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "volumeName": volume,
        "resources": {"requests": {"storage": "1Gi"}},
    }
    objects = [("PersistentVolume", volume, spec), ("PersistentVolumeClaim", name, claim)]
    for kind, called, content in objects:
        obj = {"apiVersion": "v1", "kind": kind, "metadata": {"name": called}, "spec": content}
        studio.cluster.apply(json.dumps(obj), "" if kind == "PersistentVolume" else studio.namespace)
    try:
        yield lambda more: node.run("mount", "-o", f"remount,size={more},mode=777", folder)
    finally:
        studio.kubectl("delete", "job", sync_name(name), "--ignore-not-found", PULL)
        studio.kubectl("delete", "pvc", name, PULL)
        studio.cluster.kubectl("delete", "pv", volume, PULL)
        node.run("umount", "--lazy", folder)


def own_node(cluster: Cluster) -> Node:
    """The node of our own cluster; on another one, a volume of a size of our choice cannot be made."""
    node = Node.existing(Layout(Settings.from_environment().state))
    if node is None or cluster.environment.context != "comfyard":
        pytest.skip("only the machine's own cluster has a node on which a small volume can be mounted")
    return node
