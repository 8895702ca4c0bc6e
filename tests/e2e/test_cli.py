"""The command line as a person uses it, on a real cluster."""

import hashlib
from pathlib import Path

import pytest

from tests.e2e.conftest import Studio

pytestmark = pytest.mark.e2e


def comfyard(studio: Studio, *command: str) -> str:
    """Run a command in the studio's namespace to its end, which must be a good one; what it says on stdout."""
    return studio.cluster.comfyard(*command, "-n", studio.namespace)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_an_order_and_its_files(studio: Studio, tmp_path: Path) -> None:
    studio.prepare()
    order = ("run", "-t", "text-to-image", "-p", "prompt=a lighthouse", "--profile", studio.namespace, "--count", "2")
    comfyard(studio, *order, "--name", "lighthouse", "--to", str(tmp_path))
    outputs = studio.get("cgj", "lighthouse")["status"]["outputs"]
    assert digests(tmp_path) == {output["uri"].rpartition("/")[2]: output["sha256"] for output in outputs}
    for pod in studio.kubectl("get", "pods", "-o", "name").split():
        if "comfyard-results-" in pod:  # on its way out
            studio.kubectl("wait", "--for=delete", pod, "--timeout=30s")
    said = comfyard(studio, "results", "lighthouse", "--to", str(tmp_path))
    assert said == f"2 of 2 files are in {tmp_path} already\n"


def test_the_same_again(studio: Studio, tmp_path: Path) -> None:
    studio.prepare()
    studio.order("lighthouse", count=2, output={"metadata": "Strip"})
    studio.complete("lighthouse")
    first, again = tmp_path / "first", tmp_path / "again"
    comfyard(studio, "results", "lighthouse", "--to", str(first))
    said = comfyard(studio, "rerun", "lighthouse", "--name", "again", "--to", str(again))
    assert "the files are the same as before, byte for byte" in said
    assert digests(again) == digests(first)
    receipts = [studio.get("cgj", name)["status"]["receipt"] for name in ("lighthouse", "again")]
    assert receipts[0] | {"outputsReused": False} == receipts[1] | {"outputsReused": False}
