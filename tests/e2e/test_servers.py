"""Servers on a real cluster: from nothing and back, rolled, drained, and told why they do not start."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.cluster.settings import MACHINE_ADDRESS
from tests.doubles.git import running
from tests.e2e.conftest import PULL, Studio

pytestmark = pytest.mark.e2e

READY_REASON = '.status.conditions[?(@.type=="Ready")].reason'
READY_MESSAGE = '.status.conditions[?(@.type=="Ready")].message'
PATTERNS = 20


def spec_of(studio: Studio) -> dict[str, Any]:
    found: dict[str, Any] = studio.get("hardwareprofile", studio.namespace)["spec"]
    return found


def change(studio: Studio, **spec: Any) -> None:
    patch = json.dumps({"spec": spec})
    studio.cluster.kubectl("patch", "hardwareprofile", studio.namespace, "--type=merge", "-p", patch)


@pytest.fixture
def second(studio: Studio) -> Iterator[str]:
    """The name of another profile, which goes after the test."""
    name = f"{studio.namespace}-b"
    yield name
    studio.cluster.kubectl("delete", "hardwareprofile", name, "--ignore-not-found", "--wait=false")


def test_servers_come_from_nothing_and_go_back_to_nothing(studio: Studio) -> None:
    studio.prepare()
    change(studio, pool={"idleSeconds": 1})
    assert studio.servers() == []
    studio.order("a")
    studio.complete("a")
    studio.kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=server", PULL)


def test_an_image_that_cannot_be_pulled_stops_no_other_profile(studio: Studio, second: str) -> None:
    studio.prepare()
    good = spec_of(studio)
    studio.create("HardwareProfile", second, good)
    change(studio, server={"image": "127.0.0.1:1/no/such:image", "imagePullPolicy": "Always"})
    studio.order("stays")
    studio.order("goes", profiles=[studio.namespace, second])
    studio.order("other", profiles=[second])
    assert studio.complete("goes")["status"]["attempts"][0]["profile"] == second
    studio.complete("other")
    studio.wait_for_words("ImagePullBackOff", "hardwareprofile", studio.namespace, READY_REASON)
    studio.wait_for_words("image 127.0.0.1:1/no/such:image cannot be had", "cgj", "stays")
    change(studio, server={"image": good["server"]["image"], "imagePullPolicy": None})
    studio.complete("stays")


def test_a_crash_loop_tells_the_end_of_the_log(studio: Studio) -> None:
    studio.prepare()
    good = spec_of(studio)["server"]
    change(studio, server={"args": ["--no-such-flag"]})
    studio.order("a")
    studio.wait_for_words("CrashLoopBackOff", "hardwareprofile", studio.namespace, READY_REASON)
    studio.wait_for_words("--no-such-flag", "cgj", "a")
    told = studio.get("hardwareprofile", studio.namespace)["status"]["conditions"]
    message = next(each["message"] for each in told if each["type"] == "Ready")
    assert "ends with exit code 2 each time it is started; the end of its log:" in message
    change(studio, server={"args": good.get("args") or None})
    studio.complete("a")


def test_a_changed_image_rolls_through_without_a_pause_and_no_job_is_lost(studio: Studio) -> None:
    """There is always a next job: each is ordered before the one before it is done."""
    studio.prepare(step_seconds=0.05, max_servers=2)
    studio.order("job-0")
    studio.complete("job-0")
    [old] = studio.servers()
    studio.order("job-1")
    change(studio, server={"env": [*spec_of(studio)["server"]["env"], {"name": "ROLLED", "value": "1"}]})
    number = 1
    while old in studio.servers() or number < 5:
        number += 1
        assert number < 60, "the old server stays"
        studio.order(f"job-{number}")
        studio.complete(f"job-{number - 1}")
    jobs = [studio.complete(f"job-{each}") for each in range(number + 1)]
    assert [len(job["status"]["attempts"]) for job in jobs] == [1] * len(jobs)
    [new] = studio.servers()
    assert jobs[-1]["status"]["attempts"][0]["server"] == new.removeprefix("pod/")
    # Nobody waited for a server to start, which takes seconds: there was a ready one all the time.
    assert max(job["status"]["usage"]["queuedSeconds"] for job in jobs[1:]) <= 2


def test_a_drained_node_sends_the_job_back_uncounted(studio: Studio) -> None:
    studio.prepare(step_seconds=1.0)
    change(studio, server={"drainSeconds": 1})
    studio.order("long", backoffLimit=0)
    studio.wait_running("long")
    [server] = studio.servers()
    evict(studio, server.removeprefix("pod/"))
    job = studio.complete("long")
    assert [a.get("class") for a in job["status"]["attempts"]] in ([None, None], ["ServerLost", None])
    assert [a["outcome"] for a in job["status"]["attempts"]][1:] == ["Succeeded"]


def evict(studio: Studio, pod: str) -> None:
    """What `kubectl drain` asks for."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": studio.namespace}}
    path = f"/api/v1/namespaces/{studio.namespace}/pods/{pod}/eviction"
    studio.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def test_a_job_that_ends_within_the_drain_is_rendered_once(studio: Studio) -> None:
    studio.prepare(step_seconds=0.5)
    change(studio, server={"drainSeconds": 60})
    studio.order("short")
    studio.wait_running("short")
    [server] = studio.servers()
    studio.kubectl("delete", server, "--wait=false")
    job = studio.complete("short")
    assert [(a["outcome"], f"pod/{a['server']}") for a in job["status"]["attempts"]] == [("Succeeded", server)]


@pytest.mark.skipif(bool(os.environ.get("KUBE_CONTEXT") or os.environ.get("CLUSTER")), reason="not a cluster of ours")
def test_custom_nodes_that_comfyui_cannot_import_are_told(studio: Studio, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    with running(served, host=MACHINE_ADDRESS) as git:
        commit = git.repository("pack", tmp_path / "work").commit(**{"__init__.py": b"import no_such_module\n"})
        studio.prepare()
        node = {"name": "pack", "git": {"url": f"{git.base}/pack.git", "commit": commit}}
        studio.create_bundle(studio.checkpoint, customNodes=[node])
        studio.order("a")
        studio.wait_for_words("CustomNodeFailed", "hardwareprofile", studio.namespace, READY_REASON)
        studio.wait_for_words("no_such_module", "cgj", "a")
    studio.create_bundle(studio.checkpoint)
    studio.complete("a")


def test_a_server_is_there_and_warm_before_the_first_job(studio: Studio) -> None:
    studio.prepare()
    template = studio.get("cwt", "text-to-image")["spec"]
    for parameter in template["parameters"]:
        if parameter.pop("required", False):
            parameter["default"] = "a lighthouse"
    studio.create("WorkflowTemplate", "text-to-image", template)
    warm_up = {"namespace": studio.namespace, "template": "text-to-image"}
    change(studio, pool={"minServers": 1, "idleSeconds": 0, "warmUp": warm_up})
    studio.kubectl(
        *("wait", "--for=jsonpath={.status.servers.idle}=1", PULL, f"hardwareprofile/{studio.namespace}"),
    )
    [server] = studio.servers()
    assert [(line["event"], line.get("outcome")) for line in studio.record(server)] == [
        ("start", None),
        ("end", "success"),
    ]
    studio.order("a")
    job = studio.complete("a")
    assert f"pod/{job['status']['attempts'][0]['server']}" == server
    assert len(job["status"]["outputs"]) == 1  # nothing of the warm-up


def test_no_job_is_lost_and_no_busy_server_stopped_whatever_the_load(studio: Studio) -> None:
    """Bursts and pauses at random, with servers that go after a second: each job renders once, on one server."""
    studio.prepare(step_seconds=0.005, max_servers=3)
    change(studio, pool={"idleSeconds": 1})
    order_of_events = random.Random(6)  # noqa: S311 - a load, not a secret
    names: list[str] = []
    for pattern in range(PATTERNS):
        for each in range(order_of_events.randint(1, 4)):
            names.append(f"load-{pattern}-{each}")
            studio.order(names[-1], parameters={"prompt": names[-1], "steps": order_of_events.randint(1, 8)})
        studio.kubectl("wait", "--for=jsonpath={.status.startTime}", PULL, f"cgj/{names[-1]}")
        if order_of_events.random() < 0.5:
            studio.complete(names[-1])
    jobs = {name: studio.complete(name) for name in names}
    attempts = {name: [a["outcome"] for a in job["status"]["attempts"]] for name, job in jobs.items()}
    assert attempts == {name: ["Succeeded"] for name in names}
    studio.kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=server", PULL)
