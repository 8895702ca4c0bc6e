"""Server pods in a queue of Kueue, as the API server, Kueue 0.19.2 and kubelet leave them."""

from typing import Any

import pytest

from comfyard.api.attempts import parse_time
from comfyard.controller import pods
from comfyard.controller.pools import Load, Pool, Server, observe_server
from comfyard.controller.resources.server_pod import Place, build_server_pod
from comfyard.controller.settings import Settings
from comfyard.controller.snapshot import Reason
from comfyard.kube.kinds import Obj
from tests.builders import meta, profile
from tests.unit.controller.fleets import decide, demands, hardware, retired
from tests.unit.controller.fleets import server as fleet_server

QUEUE = {"kueue.x-k8s.io/queue-name": "gpus", "kueue.x-k8s.io/managed": "true"}
GATES = {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}, {"name": "kueue.x-k8s.io/topology"}]}
CREATED, SCHEDULED, STARTED = "2026-01-02T03:04:00Z", "2026-01-02T05:00:00Z", "2026-01-02T05:00:02Z"


def condition(kind: str, status: str, at: str, **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, "lastTransitionTime": at, **more}


GATED = condition("PodScheduled", "False", CREATED, reason="SchedulingGated", message="Scheduling is blocked")
NO_NODE = condition(
    *("PodScheduled", "False", CREATED),
    reason="Unschedulable",
    message="0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available.",
)
ON_A_NODE = condition("PodScheduled", "True", SCHEDULED)
NOT_READY = condition("Ready", "False", STARTED, reason="ContainersNotReady")


def observed(*conditions: dict[str, str], spec: dict[str, Any] | None = None, labels: dict[str, str] = QUEUE) -> Server:
    pod: Obj = {"metadata": meta("l4-1", labels=labels), "spec": spec or {}, "status": {"conditions": list(conditions)}}
    return observe_server(pod, Load())


def pod_of(queue_name: str | None) -> Obj:
    pool = Pool("studio", "l4", ("models",), "results")
    return build_server_pod(pool, profile(queueName=queue_name), "abcde", Settings(image="comfyard:1"), Place())


def test_a_profile_with_a_queue_puts_its_servers_into_it() -> None:
    assert pod_of("gpus")["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert "kueue.x-k8s.io/queue-name" not in pod_of(None)["metadata"]["labels"]


def test_a_gated_server_says_which_queue_it_waits_in_and_does_not_fail() -> None:
    waits = observed(GATED, spec=GATES)
    assert waits.trouble == "waiting for quota in queue gpus"
    assert waits.waits_for_quota
    assert waits.fails_at is None


def test_nothing_is_said_between_the_gate_and_the_search_for_a_node() -> None:
    assert observed(GATED).trouble is None
    assert not observed(GATED).waits_for_quota


@pytest.mark.parametrize(
    ("starts", "since"),
    [
        pytest.param(observed(GATED, spec=GATES), None, id="gated"),
        pytest.param(observed(GATED), None, id="has quota"),
        pytest.param(observed(NO_NODE), None, id="finds no node"),
        pytest.param(observed(ON_A_NODE), SCHEDULED, id="has a node"),
        pytest.param(observed(ON_A_NODE, NOT_READY), STARTED, id="starts"),
        pytest.param(observed(NO_NODE, labels={}), CREATED, id="finds no node, without a queue"),
        pytest.param(observed(labels={}), CREATED, id="new, without a queue"),
    ],
)
def test_a_server_has_its_startup_seconds_from_when_it_has_a_node(starts: Server, since: str | None) -> None:
    assert starts.unready_since == (parse_time(since) if since else None)


def test_a_server_with_quota_and_without_a_node_says_so_and_has_not_failed_yet() -> None:
    nowhere = observed(NO_NODE)
    assert nowhere.trouble is not None
    assert "Insufficient nvidia.com/gpu" in nowhere.trouble
    assert nowhere.fails_at is None


def gated(name: str, **more: Any) -> Server:
    return fleet_server(name, ready=False, idle_since=None, reason=pods.WAITING_FOR_QUOTA, **more)


@pytest.mark.parametrize("waiting", [0, 1, 2, 3])
def test_a_gated_server_stays_while_a_job_needs_it(waiting: int) -> None:
    result = decide(demands(waiting), [gated("a"), gated("b")])
    assert len(retired(result)) == max(0, 2 - waiting)
    assert set(retired(result).values()) <= {Reason.UNNEEDED}
    assert not result.grow


def test_a_job_that_runs_elsewhere_needs_no_gated_server() -> None:
    assert retired(decide([], [fleet_server("a", jobs=1), gated("b")])) == {"b": Reason.UNNEEDED}


def test_a_gated_server_of_the_minimum_stays() -> None:
    few = {"l4": hardware(minServers=2)}
    made = decide(demands(1), [gated("a"), gated("b")], profiles=few)
    assert not made.retire
    assert not made.grow


def test_a_gated_server_that_replaces_an_outdated_one_stays() -> None:
    result = decide([], [fleet_server("a", jobs=1, shape="former"), gated("b")])
    assert not result.retire
    assert not result.grow
