"""Pools that grow, shrink, roll and recover. The tests play kubelet and agents by status."""

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from comfyard.api.attempts import parse_time
from comfyard.api.conditions import timestamp
from comfyard.controller.volumes import claim_key
from tests.api.conftest import Studio

pytestmark = pytest.mark.api


def change_profile(studio: Studio, **spec: Any) -> None:
    studio.kubectl("patch", "chp", studio.profile, "--type=merge", "-p", json.dumps({"spec": spec}))


def name_of(pod: str) -> str:
    return pod.removeprefix("pod/")


def until(studio: Studio, holds: Callable[[list[str]], bool]) -> list[str]:
    """Wait until something holds of the servers."""
    [found] = studio.until(lambda: [found] if holds(found := studio.servers()) else [], "pods")
    return found


def finish(studio: Studio, name: str) -> None:
    """What the agent writes, with the record of the attempt: it tells how many jobs its server has done."""
    assignment = studio.status(name)["assignment"]
    end = timestamp(datetime.now(UTC))
    record = {"id": assignment["id"], "server": assignment["server"], "start": assignment["time"], "end": end}
    studio.patch_status("cgj", name, {"attempts": [{**record, "outcome": "Succeeded"}]})
    studio.complete(name)


def run(studio: Studio, name: str) -> str:
    """Order a job, and do what its agent would; returns its server."""
    studio.order(name)
    studio.wait_assigned(name)
    server = str(studio.status(name)["assignment"]["server"])
    finish(studio, name)
    return server


def test_a_pool_comes_from_nothing_and_goes_back_to_nothing(studio: Studio) -> None:
    studio.prepare(idle_seconds=1)
    assert studio.servers() == []
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")
    finish(studio, "a")
    until(studio, lambda servers: not servers)
    studio.wait(f"chp/{studio.profile}", ".status.servers.total", "0")


def test_an_idle_server_of_min_servers_stays(studio: Studio) -> None:
    studio.prepare(idle_seconds=1)
    change_profile(studio, pool={"minServers": 1})
    studio.order("a")
    studio.order("b")
    for pod in studio.wait_servers(2):
        studio.server_is_ready(pod)
    for name in ("a", "b"):
        studio.wait_assigned(name)
        finish(studio, name)
    left = until(studio, lambda servers: len(servers) == 1)
    studio.wait(f"chp/{studio.profile}", ".status.servers.total", "1")
    assert studio.servers() == left


def test_a_changed_image_rolls_through_without_a_pause(studio: Studio) -> None:
    """The old server works until the new one is ready, and goes once it has nothing to do."""
    studio.prepare(max_servers=2)
    studio.order("a")
    old = studio.start_server()
    studio.wait_assigned("a")
    change_profile(studio, server={"image": "comfyui:2"}, pool={"queueDepth": 1})
    studio.order("b")
    new = next(pod for pod in studio.wait_servers(2) if pod != old)
    assert studio.get("pod", name_of(new))["spec"]["containers"][0]["image"] == "comfyui:2"
    finish(studio, "a")
    studio.wait_assigned("b")  # the new one is not ready yet
    assert studio.status("b")["assignment"]["server"] == name_of(old)
    studio.server_is_ready(new)
    finish(studio, "b")
    assert run(studio, "c") == name_of(new)
    until(studio, lambda servers: servers == [new])


def test_a_server_that_has_run_its_jobs_is_replaced(studio: Studio) -> None:
    studio.prepare(max_servers=2)
    change_profile(studio, pool={"jobsPerServer": 2})
    studio.order("a")
    old = studio.start_server()
    studio.wait_assigned("a")
    finish(studio, "a")
    assert run(studio, "b") == name_of(old)
    studio.order("c")
    new = next(pod for pod in until(studio, lambda servers: any(pod != old for pod in servers)) if pod != old)
    studio.server_is_ready(new)
    studio.wait_assigned("c")
    assert studio.status("c")["assignment"]["server"] == name_of(new)
    until(studio, lambda servers: old not in servers)


def test_servers_that_fail_to_start_are_replaced_slower_and_slower(studio: Studio) -> None:
    studio.prepare(max_servers=1)
    studio.order("a")
    made: list[datetime] = []
    seen: set[str] = set()
    for _ in range(3):
        pod = next(p for p in until(studio, lambda servers: bool(set(servers) - seen)) if p not in seen)
        seen.add(pod)
        made.append(parse_time(studio.get("pod", name_of(pod))["metadata"]["creationTimestamp"]))
        failed = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no healthy devices"}
        studio.patch_status("pod", name_of(pod), failed)
    pauses = [(after - before).total_seconds() for before, after in itertools.pairwise(made)]
    assert 9 <= pauses[0] <= 15
    assert 19 <= pauses[1] <= 26
    studio.wait_message("a", "no healthy devices")


def test_pods_that_mount_one_node_claims_ask_for_the_same_node(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    server = studio.get("pod", name_of(studio.wait_servers(1)[0]))
    claims = {
        v["persistentVolumeClaim"]["claimName"] for v in server["spec"]["volumes"] if "persistentVolumeClaim" in v
    }
    assert claims == {"comfyard-models", "comfyard-results"}
    assert {claim_key(claim) for claim in claims} <= server["metadata"]["labels"].keys()
    required = server["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    asked = {term["labelSelector"]["matchExpressions"][0]["key"] for term in required}
    assert asked <= {claim_key(claim) for claim in claims}
    assert asked


def test_a_server_of_a_namespace_that_is_not_admitted_any_more_gets_no_new_job(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")
    change_profile(studio, namespaces={"from": "Selector", "selector": {"matchLabels": {"no": "body"}}})
    finish(studio, "a")
    studio.order("b")
    studio.wait("cgj/b", ".status.conditions[?(@.type=='Ready')].reason", "ProfileNotAllowed")
    assert "assignment" not in studio.status("b")
