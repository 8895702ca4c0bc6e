"""Jobs on a real cluster: rendered, stored once, through deletions and kills."""

import hashlib
import io
import json
import os
import uuid
from typing import Any

import pytest
from PIL import Image

from hack.cluster.cluster import Cluster as LocalCluster
from hack.cluster.process import Process
from hack.cluster.settings import Layout, Settings
from tests.e2e.conftest import PULL, SYSTEM, Studio

pytestmark = pytest.mark.e2e

RESULTS = "comfyard-results"


def check_stored(studio: Studio, job: dict[str, Any], count: int) -> None:
    """The claim holds exactly the files of the status, and they are pictures of the recorded digests."""
    outputs = job["status"]["outputs"]
    uid = job["metadata"]["uid"]
    files = {path: data for path, data in studio.files(RESULTS).items() if uid[:8] in path}
    assert {f"claim://{RESULTS}/{path}" for path in files} == {output["uri"] for output in outputs}
    assert [output["index"] for output in outputs] == list(range(count))
    for output in outputs:
        data = files[output["uri"].removeprefix(f"claim://{RESULTS}/")]
        assert hashlib.sha256(data).hexdigest() == output["sha256"]
        with Image.open(io.BytesIO(data)) as image:
            image.verify()
            assert (image.format, image.size) == ("PNG", (output["width"], output["height"]))


def prompt_ids(job: dict[str, Any], attempt: int = 0) -> set[str]:
    uid = uuid.UUID(job["metadata"]["uid"])
    return {str(uuid.uuid5(uid, f"{attempt}/{index}")) for index in range(job["spec"]["count"])}


def starts(record: list[dict[str, Any]]) -> list[str]:
    return sorted(line["prompt_id"] for line in record if line["event"] == "start")


def test_a_job_is_rendered_and_stored(studio: Studio) -> None:
    studio.prepare()
    studio.order("lighthouse", count=2)
    job = studio.complete("lighthouse")
    check_stored(studio, job, 2)
    assert starts(studio.record(studio.servers()[0])) == sorted(prompt_ids(job))
    assert [a["outcome"] for a in job["status"]["attempts"]] == ["Succeeded"]
    assert "assignment" not in job["status"]


def test_get_comfy_tells_the_story(studio: Studio) -> None:
    studio.prepare()
    studio.order("lighthouse")
    studio.complete("lighthouse")
    said = studio.kubectl("get", "comfy")
    assert "generationjob.comfyard.io/lighthouse   Complete   100" in said
    assert "1 of 1 files, 8 MB, verified" in said


def test_a_job_outlives_the_pod_of_its_server(studio: Studio) -> None:
    studio.prepare(step_seconds=0.5)
    studio.order("storm", count=2)
    studio.wait_running("storm")
    studio.kubectl("delete", *studio.servers(), "--wait=false")
    job = studio.complete("storm")
    check_stored(studio, job, 2)
    assert [a.get("class") for a in job["status"]["attempts"]] in ([None], ["ServerLost", None])


def test_a_job_outlives_a_pod_that_is_killed_without_grace(studio: Studio) -> None:
    studio.prepare(step_seconds=0.5)
    studio.order("storm", count=2)
    studio.wait_running("storm")
    studio.kubectl("delete", *studio.servers(), "--force", "--grace-period=0")
    job = studio.complete("storm")
    check_stored(studio, job, 2)
    assert [a.get("class") for a in job["status"]["attempts"]] == ["ServerLost", None]


def test_a_job_outlives_the_operator_and_is_rendered_once(studio: Studio) -> None:
    studio.prepare(step_seconds=0.3)
    studio.order("storm", count=2)
    studio.wait_running("storm")
    studio.cluster.kubectl(
        *("-n", SYSTEM, "delete", "pod", "-l", "app.kubernetes.io/component=operator"),
        *("--force", "--grace-period=0"),
    )
    job = studio.complete("storm")
    check_stored(studio, job, 2)
    assert starts(studio.record(studio.servers()[0])) == sorted(prompt_ids(job))


def test_an_agent_that_was_killed_goes_on_without_rendering_again(studio: Studio) -> None:
    studio.prepare(step_seconds=0.5)
    studio.order("storm", count=2)
    studio.wait_running("storm")
    server = studio.servers()[0]
    studio.kubectl("exec", server, "-c", "agent", "--", "python", "-c", "import os; os.kill(1, 9)")
    job = studio.complete("storm")
    check_stored(studio, job, 2)
    assert starts(studio.record(server)) == sorted(prompt_ids(job))


def test_comfyui_stops_working_on_a_job_that_is_deleted(studio: Studio) -> None:
    studio.prepare(step_seconds=0.5)
    studio.order("long", count=4)
    studio.wait_running("long")
    studio.kubectl("delete", "cgj", "long")
    studio.order("next", parameters={"prompt": "next", "steps": 1})
    studio.complete("next")
    record = studio.record(studio.servers()[0])
    outcomes = [line["outcome"] for line in record if line["event"] == "end"]
    assert outcomes == ["interrupted", "success"]


def test_comfyui_that_dies_costs_an_attempt_and_not_the_job(studio: Studio) -> None:
    studio.prepare()
    studio.order("crash", parameters={"prompt": f"[sim: once-crash] {uuid.uuid4()}"})
    job = studio.complete("crash")
    check_stored(studio, job, 1)
    assert [a.get("class") for a in job["status"]["attempts"]] == ["ServerLost", None]


def test_a_stuck_comfyui_is_restarted(studio: Studio) -> None:
    studio.prepare()
    studio.order("stuck", parameters={"prompt": f"[sim: once-stuck] {uuid.uuid4()}"})
    job = studio.complete("stuck")
    check_stored(studio, job, 1)
    assert [a.get("class") for a in job["status"]["attempts"]] == ["ServerStuck", None]


def test_running_out_of_vram_goes_to_the_next_profile(studio: Studio) -> None:
    studio.prepare()
    profile = studio.get("hardwareprofile", studio.namespace)["spec"]
    big = f"{studio.namespace}-big"
    studio.create("HardwareProfile", big, profile)
    studio.order(
        "huge", profiles=[studio.namespace, big], parameters={"prompt": "[sim: oom]", "steps": 1}, backoffLimit=0
    )
    job = studio.finish("huge")
    assert [a["profile"] for a in job["status"]["attempts"]] == [studio.namespace] * 2 + [big] * 2
    assert {a["class"] for a in job["status"]["attempts"]} == {"OutOfVRAM"}
    studio.kubectl("delete", "hardwareprofile", big, "--wait=false")


def test_a_job_costs_at_most_five_writes_besides_creation_and_progress(studio: Studio) -> None:
    studio.prepare()
    studio.order("lighthouse", count=2)
    studio.complete("lighthouse")
    writes = [
        line
        for line in map(json.loads, studio.cluster.audit_log().splitlines())
        if line["objectRef"].get("namespace") == studio.namespace
        and line["objectRef"].get("resource") == "generationjobs"
        and line["verb"] != "create"
    ]
    agents = [line["userAgent"] for line in writes]
    assert len(writes) <= 5, agents


def test_the_servers_pods_are_reached_by_nobody(studio: Studio) -> None:
    studio.prepare()
    studio.order("lighthouse")
    studio.complete("lighthouse")
    address = studio.get("pod", studio.servers()[0].removeprefix("pod/"))["status"]["podIP"]
    knock = (
        f"import socket\ntry: socket.create_connection(('{address}', 8189), 3)\nexcept OSError: print('refused')\n"
        "else: print('reached')"
    )
    with studio.cluster.reader(studio.namespace, RESULTS) as reader:
        assert studio.kubectl("exec", reader, "--", "python", "-c", knock).strip() == "refused"


def test_deleting_everything_at_once_leaves_nothing_running(studio: Studio) -> None:
    studio.prepare(step_seconds=0.5)
    studio.order("long", count=4)
    studio.wait_running("long")
    studio.kubectl("delete", "hardwareprofile", studio.namespace)
    studio.kubectl("delete", "cmb,cwt,cgj", "--all", PULL)
    studio.kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=server", "--timeout=45s")


@pytest.mark.skipif(bool(os.environ.get("KUBE_CONTEXT") or os.environ.get("CLUSTER")), reason="not a cluster of ours")
def test_a_job_outlives_the_api_server(studio: Studio) -> None:
    studio.prepare(step_seconds=0.5)
    studio.order("storm", count=2)
    studio.wait_running("storm")
    server = studio.servers()[0]
    kill_component("kube-apiserver")
    repair_cluster()
    job = studio.complete("storm")
    check_stored(studio, job, 2)
    assert starts(studio.record(server)) == sorted(prompt_ids(job))


def kill_component(name: str) -> None:
    """SIGKILL to one process of the cluster."""
    process = Process.recorded(Layout(Settings.from_environment().state).run / f"{name}.pid")
    assert process
    process.kill()


def repair_cluster() -> None:
    """What `make cluster` does."""
    LocalCluster(Settings.from_environment()).up()
