"""`comfyard results` from a bucket and from a claim, by a person with no more rights than docs/cli.md names."""

import asyncio
import base64
import contextlib
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
import pytest
import yaml

from comfyard.api.conditions import timestamp
from comfyard.api.meta import ANNOTATION_IMAGE
from comfyard.controller.resources.access import AGENT
from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import GENERATION_JOB, POD, SECRET, SERVICE_ACCOUNT, Obj, name_of
from comfyard.runtime.context import now
from hack.cluster.control_plane import ControlPlane
from tests.conftest import Kubectl
from tests.doubles.kubelet import Kubelet
from tests.doubles.seaweed import BUCKET, WRITER, Seaweed, running
from tests.doubles.seaweed import SECRET as KEY
from tests.doubles.serving import serving
from tests.unit.agent.harness import eventually, kubeconfig_for

pytestmark = pytest.mark.api

FOLDER = "studio/lighthouse-3c8f8a54"
PICTURE, FILM = b"a picture", bytes(range(256)) * 4096
RIGHTS = [
    {"apiGroups": ["comfyard.io"], "resources": ["generationjobs"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["s3"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "delete"]},
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
]


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with running(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@dataclass
class Person:
    """Somebody with a kubeconfig, and a job of theirs."""

    kube: LightkubeClient
    namespace: str
    kubeconfig: Path
    to: Path
    kubelet: Kubelet

    async def fetch(self, *more: str) -> tuple[int, str]:
        """Exit code and what is said."""
        command = ("-m", "comfyard", "results", "lighthouse", "-n", self.namespace, "--to", str(self.to), *more)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()

    async def order(self, place: str, output: dict[str, Any], *, state: str = "Complete") -> None:
        """A job as its agent has left it."""
        meta = {"name": "lighthouse", "namespace": self.namespace}
        spec = {"template": {"name": "t"}, "profiles": ["l4"]}
        await self.kube.create(GENERATION_JOB, {"metadata": meta, "spec": spec})
        files = {"image-000.png": PICTURE, "image-001.mp4": FILM}
        outputs = [
            {
                "name": "image",
                "index": index,
                "uri": f"{place}/{FOLDER}/{name}",
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "contentType": "x/y",
            }
            for index, (name, content) in enumerate(files.items())
        ]
        condition = {
            "type": state,
            "status": "True",
            "reason": state,
            "message": "",
            "lastTransitionTime": timestamp(now()),
        }
        status = {"state": state, "message": "the end", "conditions": [condition], "outputs": outputs, "output": output}
        await self.kube.patch_status(GENERATION_JOB, "lighthouse", self.namespace, status)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.to.iterdir()} if self.to.exists() else {}


@pytest.fixture
def person(
    kube: LightkubeClient, namespace: str, control_plane: ControlPlane, kubectl: Kubectl, tmp_path: Path
) -> Iterator[Person]:
    for kind, name, more in (
        ("ServiceAccount", "person", {}),
        ("Role", "person", {"rules": RIGHTS}),
        (
            "RoleBinding",
            "person",
            {
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "person"},
                "subjects": [{"kind": "ServiceAccount", "name": "person", "namespace": namespace}],
            },
        ),
    ):
        group = "v1" if kind == "ServiceAccount" else "rbac.authorization.k8s.io/v1"
        obj = {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **more}
        kubectl("apply", "-f", "-", stdin=yaml.safe_dump(obj))
    path = kubeconfig_for(control_plane, kubectl, namespace, tmp_path, "person")
    config = yaml.safe_load(path.read_text())
    cluster = config["clusters"][0]["cluster"]
    claim = tmp_path / "claim"
    claim.mkdir()
    ca = base64.b64decode(cluster.pop("certificate-authority-data")).decode()
    kubelet = Kubelet(cluster["server"], ca, "/results", claim)
    with serving(kubelet.app()) as [url]:
        cluster["server"] = url
        path.write_text(yaml.safe_dump(config))
        yield Person(kube, namespace, path, tmp_path / "out", kubelet)


async def make_secret(person: Person, hosts: str) -> None:
    values = {"AWS_ACCESS_KEY_ID": WRITER, "AWS_SECRET_ACCESS_KEY": KEY}
    meta = {"name": "s3", "namespace": person.namespace, "annotations": {"comfyard.io/hosts": hosts}}
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
    await person.kube.create(SECRET, {"metadata": meta, "data": encoded})


def in_bucket(seaweed: Seaweed) -> dict[str, Any]:
    return {"s3": {"bucket": BUCKET, "prefix": "renders", "endpoint": seaweed.endpoint, "secretRef": {"name": "s3"}}}


def store(seaweed: Seaweed, **files: bytes) -> None:
    for name, content in files.items():
        obstore.put(seaweed.client(), f"renders/{FOLDER}/{name.replace('__', '.').replace('_', '-')}", content)


async def order_to_bucket(person: Person, seaweed: Seaweed, film: bytes = FILM) -> None:
    store(seaweed, image_000__png=PICTURE, image_001__mp4=film)
    await make_secret(person, "127.0.0.1")
    await person.order(f"s3://{BUCKET}/renders", in_bucket(seaweed))


async def test_files_come_from_the_bucket_with_the_jobs_secret(person: Person, seaweed: Seaweed) -> None:
    await order_to_bucket(person, seaweed)
    code, said = await person.fetch()
    assert (code, person.files()) == (0, {"image-000.png": PICTURE, "image-001.mp4": FILM})
    assert f"{person.to}/image-001.mp4  1.0 MB" in said


async def test_what_is_there_is_not_fetched_again_and_not_overwritten(person: Person, seaweed: Seaweed) -> None:
    await order_to_bucket(person, seaweed)
    person.to.mkdir()
    (person.to / "image-000.png").write_bytes(b"mine")
    code, said = await person.fetch()
    assert (code, person.files()) == (1, {"image-000.png": b"mine"})
    assert "image-000.png in" in said
    assert (await person.fetch("--force"))[0] == 0
    assert person.files() == {"image-000.png": PICTURE, "image-001.mp4": FILM}
    before = (person.to / "image-000.png").stat()
    assert await person.fetch() == (0, f"2 of 2 files are in {person.to} already\n")
    assert (person.to / "image-000.png").stat().st_ino == before.st_ino


async def test_what_was_replaced_in_the_bucket_does_not_arrive(person: Person, seaweed: Seaweed) -> None:
    await order_to_bucket(person, seaweed, film=b"something else")
    code, said = await person.fetch()
    assert (code, person.files()) == (1, {"image-000.png": PICTURE})
    wrong, right = (hashlib.sha256(content).hexdigest() for content in (b"something else", FILM))
    assert f"is not what the job stored: sha256 {wrong} instead of {right}, 14 of {len(FILM)} bytes" in said


async def test_a_secret_goes_only_where_its_owner_lets_it(person: Person, seaweed: Seaweed) -> None:
    store(seaweed, image_000__png=PICTURE)
    await make_secret(person, "s3.example.com")
    await person.order(f"s3://{BUCKET}/renders", in_bucket(seaweed))
    code, said = await person.fetch()
    assert (code, person.files()) == (1, {})
    assert 'comfyard: Secret "s3" may not be sent to 127.0.0.1' in said


async def test_a_secret_that_is_gone_is_named(person: Person, seaweed: Seaweed) -> None:
    await person.order(f"s3://{BUCKET}/renders", in_bucket(seaweed))
    code, said = await person.fetch()
    assert code == 1
    assert 'comfyard: Secret "s3" (status.output.s3.secretRef) does not exist; create it' in said


async def test_files_of_a_job_that_has_failed_are_fetched_and_that_is_told(person: Person, seaweed: Seaweed) -> None:
    store(seaweed, image_000__png=PICTURE, image_001__mp4=FILM)
    await make_secret(person, "127.0.0.1")
    await person.order(f"s3://{BUCKET}/renders", in_bucket(seaweed), state="Failed")
    code, said = await person.fetch()
    assert (code, len(person.files())) == (1, 2)
    assert "comfyard: job lighthouse is Failed, with 2 files so far: the end" in said


async def test_a_job_that_is_not_there_is_a_typing_error(person: Person) -> None:
    code, said = await person.fetch()
    assert code == 2
    assert f'generationjobs.comfyard.io "lighthouse" is not in namespace "{person.namespace}"' in said


async def pods(person: Person) -> list[Obj]:
    return (await person.kube.list(POD, person.namespace)).items


@contextlib.asynccontextmanager
async def starting(person: Person, status: dict[str, Any]) -> AsyncIterator[None]:
    """What kubelet says of the pod that reads the claim, once there is one."""

    async def say() -> None:
        async def there() -> bool:
            return bool(await pods(person))

        await eventually(there)
        [pod] = await pods(person)
        await person.kube.patch_status(POD, name_of(pod), person.namespace, status)

    task = asyncio.create_task(say())
    try:
        yield
    finally:
        await task


async def order_to_claim(person: Person, film: bytes = FILM) -> None:
    meta = {"name": AGENT, "namespace": person.namespace, "annotations": {ANNOTATION_IMAGE: "comfyard:test"}}
    await person.kube.create(SERVICE_ACCOUNT, {"metadata": meta})
    folder = person.kubelet.folder / FOLDER
    folder.mkdir(parents=True)
    (folder / "image-000.png").write_bytes(PICTURE)
    (folder / "image-001.mp4").write_bytes(film)
    await person.order("claim://comfyard-results", {"claim": {"name": "comfyard-results"}})


RUNS = {"phase": "Running"}


async def test_files_come_from_the_claim_through_a_pod_that_is_gone_afterwards(person: Person) -> None:
    await order_to_claim(person)
    async with starting(person, RUNS):
        code, said = await person.fetch()
    assert (code, person.files()) == (0, {"image-000.png": PICTURE, "image-001.mp4": FILM}), said
    assert [command for _, command in person.kubelet.ran] == [
        ["cat", "--", f"/results/{FOLDER}/{name}"] for name in ("image-000.png", "image-001.mp4")
    ]
    assert await pods(person) == []


async def test_a_connection_that_breaks_leaves_no_half_file(person: Person) -> None:
    await order_to_claim(person)
    person.kubelet.breaks_after = 100_000
    async with starting(person, RUNS):
        code, said = await person.fetch()
    assert (code, person.files()) == (1, {"image-000.png": PICTURE})
    assert "WebSocketDisconnect while a command ran in pod comfyard-results-" in said
    assert await pods(person) == []


async def test_a_file_that_is_gone_from_the_claim_is_told(person: Person) -> None:
    await order_to_claim(person)
    (person.kubelet.folder / FOLDER / "image-001.mp4").unlink()
    async with starting(person, RUNS):
        code, said = await person.fetch()
    assert (code, person.files()) == (1, {"image-000.png": PICTURE})
    assert "No such file or directory" in said


async def test_a_pod_that_cannot_start_is_told_and_deleted(person: Person) -> None:
    await order_to_claim(person)
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}, "name": "reader"}
    told = {**waiting, "ready": False, "restartCount": 0, "image": "", "imageID": ""}
    async with starting(person, {"phase": "Pending", "containerStatuses": [told]}):
        code, said = await person.fetch()
    assert code == 1
    assert "which is to read the claim, does not start: ImagePullBackOff: no such image" in said
    assert await pods(person) == []


async def test_without_an_image_it_says_what_else_to_do(person: Person) -> None:
    await person.order("claim://comfyard-results", {"claim": {"name": "comfyard-results"}})
    code, said = await person.fetch()
    assert code == 1
    assert f"ServiceAccount comfyard-agent of namespace {person.namespace} does not tell an image" in said
