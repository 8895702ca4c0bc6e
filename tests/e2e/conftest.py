"""The whole cluster, with the chart installed as a user would."""

import contextlib
import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from comfysim.checkpoint import Checkpoint
from hack.demo.cluster import Cluster, current_cluster
from tests.conftest import watching

ROOT = Path(__file__).parents[2]
SYSTEM = "comfyard-system"
HOST = "comfyard-e2e-models"
CHECKPOINT = "sd15.safetensors"
CHECKPOINT_BYTES = 8_000_000
RECORD = "/comfyui/user/record.jsonl"
PULL = "--timeout=180s"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster that `make cluster` and `make images` have prepared."""
    return current_cluster(ROOT)


@pytest.fixture(scope="session")
def release(cluster: Cluster) -> Iterator[Cluster]:
    """The chart, installed; uninstalled at the end, unless it was there before."""
    was_there = "comfyard" in cluster.helm("list", "--namespace", SYSTEM, "--short").split()
    repository, tag = cluster.images["comfyard"].rsplit(":", 1)
    cluster.helm(
        *("upgrade", "--install", "comfyard", str(ROOT / "charts" / "comfyard")),
        *("--namespace", SYSTEM, "--create-namespace", "--wait", "--timeout", "120s"),
        *("--set", f"image.repository={repository}", "--set-string", f"image.tag={tag}"),
        *("--set", "storage.resultsSize=1Gi", "--set", "stuckSeconds=5"),
    )
    yield cluster
    if not was_there:
        cluster.helm("uninstall", "comfyard", "--namespace", SYSTEM, "--wait")


@contextlib.contextmanager
def serve_models(cluster: Cluster, namespace: str, rate: str, **sizes: int) -> Iterator[dict[str, dict[str, Any]]]:
    """A host of models in the cluster; yields source and SHA-256 of each file, for a bundle.

    Args:
        cluster: The cluster.
        namespace: Of the host alone; it goes with it.
        rate: Bytes per second of one connection, such as 10M.
        **sizes: Bytes of each file, by its name without the extension.
    """
    manifest = (ROOT / "hack" / "demo" / "model-host.yaml").read_text().replace("comfyard-demo", namespace)
    objects = list(yaml.safe_load_all(cluster.with_images(manifest)))
    files = {name: Checkpoint(f"{name}.safetensors", size) for name, size in sizes.items()}
    objects[1]["spec"]["template"]["spec"]["containers"][0]["args"] = [
        *(argument for name, size in sizes.items() for argument in ("--file", f"{name}.safetensors={size}")),
        *("--rate", rate, "--listen", "0.0.0.0", "--port", "8000"),
    ]
    cluster.apply(yaml.safe_dump_all(objects))
    try:
        cluster.kubectl("-n", namespace, "rollout", "status", "deployment/model-host", PULL)
        yield {
            name: {
                "source": {"http": {"url": f"http://model-host.{namespace}/{name}.safetensors"}},
                "sha256": file.sha256(),
            }
            for name, file in files.items()
        }
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="session")
def checkpoint(release: Cluster) -> Iterator[dict[str, Any]]:
    """A model that a bundle can fetch: its source and its SHA-256."""
    name = CHECKPOINT.removesuffix(".safetensors")
    with serve_models(release, HOST, "100M", **{name: CHECKPOINT_BYTES}) as models:
        yield models[name]


class Studio:
    """A namespace of one test, with a profile of its own."""

    def __init__(self, cluster: Cluster, checkpoint: dict[str, Any]) -> None:
        self.cluster = cluster
        self.namespace = f"e2e-{uuid.uuid4().hex[:8]}"
        self.checkpoint = checkpoint

    def kubectl(self, *args: str) -> str:
        return self.cluster.kubectl("-n", self.namespace, *args)

    def create(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        obj = {"apiVersion": "comfyard.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.cluster.apply(json.dumps(obj), self.namespace)

    def prepare(self, step_seconds: float = 0.02, max_servers: int = 1) -> None:
        """A profile on the stand-in, a bundle, a template; all ready."""
        env = {
            "COMFYSIM_STEP_SECONDS": str(step_seconds),
            "COMFYSIM_RECORD": RECORD,
            "COMFYSIM_PROMPT_SWITCHES": "1",
        }
        server = {
            "image": self.cluster.images["comfysim"],
            "env": [{"name": k, "value": v} for k, v in env.items()],
            "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}},
        }
        self.create("HardwareProfile", self.namespace, {"server": server, "pool": {"maxServers": max_servers}})
        self.create_bundle(self.checkpoint)
        text = (ROOT / "examples" / "quickstart" / "30-workflow-template.yaml").read_text()
        template = yaml.safe_load(text.replace("sd15-standin.safetensors", CHECKPOINT))
        self.create("WorkflowTemplate", "text-to-image", template["spec"])
        self.wait("Ready", "cmb/sd15")
        self.wait("Ready", "cwt/text-to-image")

    def create_bundle(self, model: dict[str, Any], name: str = "sd15", **spec: Any) -> None:
        self.create("ModelBundle", name, {"models": [{"path": f"checkpoints/{CHECKPOINT}", **model}], **spec})

    def order(self, name: str, **spec: Any) -> None:
        whole = {
            "template": {"name": "text-to-image"},
            "profiles": [self.namespace],
            "parameters": {"prompt": name},
            **spec,
        }
        self.create("GenerationJob", name, whole)

    def wait(self, condition: str, what: str) -> None:
        self.kubectl("wait", f"--for=condition={condition}", PULL, what)

    def finish(self, name: str) -> dict[str, Any]:
        """Wait until a job has ended, well or not; returns it."""
        self.kubectl("wait", "--for=jsonpath={.status.completionTime}", PULL, f"cgj/{name}")
        return self.get("cgj", name)

    def complete(self, name: str) -> dict[str, Any]:
        """Wait until a job is Complete; returns it."""
        job = self.finish(name)
        assert job["status"]["state"] == "Complete", job["status"]["message"]
        return job

    def wait_for_bytes(self, bundle: str, count: int) -> None:
        """Until so many bytes of a bundle are on its claim."""
        shown = "-o=jsonpath={.status.bytes.ready}{'\\n'}"
        self._watch(lambda line: int(line or 0) >= count, "cmb", bundle, shown)

    def wait_for_event(self, reason: str) -> str:
        """Until an event of the namespace has a reason; returns its message."""
        return self._watch(bool, "events", f"--field-selector=reason={reason}", "-o=jsonpath={.message}{'\\n'}")

    def wait_for_words(self, words: str, kind: str, name: str, field: str = ".status.message") -> None:
        """Until a text of an object has these words."""
        self._watch(lambda line: words in line, kind, name, f"-o=jsonpath={{{field}}}{{'\\n'}}")

    def _watch(self, enough: Callable[[str], bool], *what: str) -> str:
        command = self.cluster.environment.kubectl_command("-n", self.namespace, "get", *what)
        with watching(command, 180) as lines:
            found = next((line.strip() for line in lines if enough(line.strip())), None)
        assert found is not None, f"{' '.join(what)} never came to that"
        return found

    def wait_running(self, name: str) -> None:
        """Until a server has shown progress on the job."""
        self.kubectl("wait", "--for=jsonpath={.status.state}=Running", PULL, f"cgj/{name}")

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def servers(self) -> list[str]:
        return self.kubectl("get", "pods", "-l", "app.kubernetes.io/component=server", "-o", "name").split()

    def record(self, server: str) -> list[dict[str, Any]]:
        """What the stand-in has executed, by its own record."""
        text = self.kubectl("exec", server, "-c", "comfyui", "--", "cat", RECORD)
        return [json.loads(line) for line in text.splitlines()]

    def on_claim(self, claim: str, program: str) -> str:
        """What a Python program prints in a pod that has a claim mounted at /claim."""
        with self.cluster.reader(self.namespace, claim) as reader:
            return self.kubectl("exec", reader, "--", "python", "-c", program)

    def files(self, claim: str) -> dict[str, bytes]:
        """Everything on a claim, read by a pod that mounts it."""
        with self.cluster.reader(self.namespace, claim) as reader:
            archive = self.cluster.kubectl_bytes(
                "-n", self.namespace, "exec", reader, "--", "tar", "-C", "/claim", "-cf", "-", "."
            )
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = [m for m in tar.getmembers() if not m.isdir()]
            return {m.name.removeprefix("./"): (f.read() if (f := tar.extractfile(m)) else b"") for m in members}


@pytest.fixture
def studio(release: Cluster, checkpoint: dict[str, Any]) -> Iterator[Studio]:
    """A fresh namespace that enforces the restricted Pod Security Standard."""
    studio = Studio(release, checkpoint)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    release.apply(
        json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": studio.namespace, "labels": labels}})
    )
    yield studio
    studio.kubectl("delete", "cgj,cwt,cmb", "--all", PULL)
    release.kubectl("delete", "hardwareprofile", studio.namespace, "--ignore-not-found", "--wait=false")
    release.kubectl("delete", "namespace", studio.namespace, "--wait=false")
