"""Two operators as processes: one works, the other one stands by and goes on where the first one has ended."""

import base64
import json
import signal
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from comfyard.kube.lease import TERMS
from hack.cluster.control_plane import ControlPlane
from hack.cluster.operator_process import OperatorProcess
from tests.api.conftest import Studio, as_installed
from tests.conftest import Kubectl

pytestmark = pytest.mark.api

SYSTEM = "comfyard-system"
FAIL_OVER = timedelta(seconds=20)


@dataclass
class Replica:
    """One operator, and what it writes: each has a token of its own, by which the audit log knows it."""

    process: OperatorProcess
    log: Path
    kubeconfig: Path
    audit_log: Path

    @property
    def name(self) -> str:
        return self.process.name

    def writes(self) -> list[str]:
        """Verb and resource of each request of its that changes something."""
        token = yaml.safe_load(self.kubeconfig.read_text())["users"][0]["user"]["token"].split(".")[1]
        credential = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))["jti"]
        lines = map(json.loads, self.audit_log.read_text().splitlines())
        own = [line for line in lines if credential in json.dumps(line["user"].get("extra"))]
        return [f"{line['verb']} {line['objectRef']['resource']}" for line in own]

    def works(self) -> bool:
        return any("leases" not in each for each in self.writes())

    def is_healthy(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.process.port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)


class Pair:
    """Two replicas, of which the first one leads."""

    def __init__(self, plane: ControlPlane, kubectl: Kubectl, folder: Path) -> None:
        self._plane = plane
        self._kubectl = kubectl
        self.first, self.second = (self._replica(folder / name) for name in ("comfyard-a", "comfyard-b"))

    def _replica(self, folder: Path) -> Replica:
        folder.mkdir()
        kubeconfig = as_installed(self._plane, folder)
        log = folder / "log"
        return Replica(OperatorProcess(kubeconfig, log, folder.name), log, kubeconfig, self._plane.audit_log)

    def start(self) -> None:
        self.first.process.start()
        self._wait("--for=create")
        self.until_leads(self.first)
        self.second.process.start()
        self.until_logged(self.second, f"stands by for {self.first.name}")

    def stop(self) -> None:
        for replica in (self.first, self.second):
            replica.process.stop(signal.SIGKILL)
        self._kubectl("-n", SYSTEM, "delete", "lease", "comfyard", "--ignore-not-found")  # the dead cannot give it back

    def taken_at(self) -> datetime:
        """When the Lease got its present holder, as that one wrote it."""
        lease = json.loads(self._kubectl("-n", SYSTEM, "get", "lease/comfyard", "-o", "json"))
        return datetime.fromisoformat(lease["spec"]["acquireTime"])

    def until_leads(self, replica: Replica) -> None:
        self._wait(f"--for=jsonpath={{.spec.holderIdentity}}={replica.name}")

    def until_logged(self, replica: Replica, text: str) -> None:
        deadline = time.monotonic() + 30
        while text not in replica.log.read_text():
            assert time.monotonic() < deadline, replica.log.read_text()
            time.sleep(0.05)

    def _wait(self, condition: str) -> None:
        self._kubectl("-n", SYSTEM, "wait", condition, "--timeout=30s", "lease/comfyard")


@pytest.fixture
def pair(control_plane: ControlPlane, kubectl: Kubectl, tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(control_plane, kubectl, tmp_path)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()


@pytest.fixture
def studio(pair: Pair, control_plane: ControlPlane, kubectl: Kubectl, namespace: str) -> Studio:
    """A namespace in which everything is ready for jobs."""
    studio = Studio(kubectl, namespace, control_plane.audit_log, pair.first.process)
    studio.prepare()
    return studio


def work(studio: Studio, name: str) -> None:
    """Have a job accepted, a server made for it, and the job given to it."""
    studio.order(name)
    studio.start_server()
    studio.wait_assigned(name)


def test_when_the_leader_is_killed_the_other_one_goes_on(pair: Pair, studio: Studio) -> None:
    work(studio, "before")
    assert pair.first.works()
    assert pair.second.writes() == []
    assert pair.second.is_healthy()
    killed = datetime.now(UTC)
    pair.first.process.stop(signal.SIGKILL)
    studio.order("after")
    studio.wait_servers(2)
    assert pair.taken_at() - killed <= FAIL_OVER
    assert pair.second.works()
    pair.first.process.start()  # as kubelet does
    pair.until_logged(pair.first, f"stands by for {pair.second.name}")
    assert studio.get("cgj", "before")["status"]["assignment"]["server"] in "".join(studio.servers())
    assert len(studio.servers()) == 2


def test_when_the_leader_is_told_to_end_the_other_one_goes_on_at_once(pair: Pair, studio: Studio) -> None:
    told = datetime.now(UTC)
    pair.first.process.send(signal.SIGTERM)
    studio.order("after")
    studio.wait_servers(1)
    assert pair.first.process.wait() == 0
    pair.until_leads(pair.second)
    assert pair.taken_at() - told < timedelta(seconds=TERMS.duration)  # it did not have to run out
    assert pair.second.works()


def test_a_leader_that_was_asleep_writes_nothing_more_and_ends(pair: Pair, studio: Studio) -> None:
    work(studio, "before")
    pair.first.process.send(signal.SIGSTOP)
    for number in range(20):
        studio.order(f"meanwhile-{number}")  # all of this it learns when it wakes up, and must leave alone
    pair.until_leads(pair.second)
    studio.wait("cgj/meanwhile-19", ".status.state", "Queued")
    before = pair.first.writes()
    pair.first.process.send(signal.SIGCONT)
    assert pair.first.process.wait() == 1
    assert pair.first.writes() == before
    pair.until_logged(pair.first, "the Lease is lost")
