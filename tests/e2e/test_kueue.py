"""Servers in a queue of the real Kueue: they wait for quota, and give way."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from hack.cluster import kueue
from hack.cluster.cluster import Cluster as LocalCluster
from hack.cluster.settings import Settings
from hack.demo.cluster import Cluster
from tests.e2e.conftest import PULL, Studio
from tests.e2e.test_jobs import check_stored

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        bool(os.environ.get("KUBE_CONTEXT") or os.environ.get("CLUSTER")), reason="not a cluster of ours"
    ),
]

QUEUE = "gpus"
WAITING = f"waiting for quota in queue {QUEUE}"
READY_MESSAGE = '.status.conditions[?(@.type=="Ready")].message'


@pytest.fixture(scope="module")
def manager(release: Cluster) -> Iterator[Cluster]:
    """The cluster with Kueue in it, built and started for these tests alone."""
    with kueue.installed(LocalCluster(Settings.from_environment())):
        yield release


@pytest.fixture
def queued(manager: Cluster, studio: Studio) -> Iterator[Studio]:
    """A namespace with a queue that has quota for one GPU, and two profiles whose servers wait in it."""
    studio.prepare(step_seconds=0.3)
    manager.kubectl("label", "namespace", studio.namespace, f"{kueue.LABEL}=true")
    quota = {"cpu": 64, "memory": "1Ti", "nvidia.com/gpu": 1}
    group = {
        "coveredResources": list(quota),
        "flavors": [
            {"name": studio.namespace, "resources": [{"name": k, "nominalQuota": v} for k, v in quota.items()]}
        ],
    }
    cluster_queue = {
        "namespaceSelector": {},
        "resourceGroups": [group],
        "preemption": {"withinClusterQueue": "LowerPriority"},
    }
    create(studio, "ResourceFlavor", studio.namespace)
    create(studio, "ClusterQueue", studio.namespace, spec=cluster_queue)
    create(studio, "LocalQueue", QUEUE, spec={"clusterQueue": studio.namespace})
    for profile in (studio.namespace, second(studio)):
        create_profile(studio, profile)
    yield studio
    manager.kubectl("delete", "hardwareprofile", second(studio), "--wait=false")


def second(studio: Studio) -> str:
    """The other profile."""
    return f"{studio.namespace}-second"


def create(studio: Studio, kind: str, name: str, **content: Any) -> None:
    obj = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": kind, "metadata": {"name": name}, **content}
    studio.cluster.apply(json.dumps(obj), studio.namespace)


def create_profile(studio: Studio, name: str) -> None:
    """Like the namespace's, but in the queue."""
    spec = studio.get("hardwareprofile", studio.namespace)["spec"]
    studio.create("HardwareProfile", name, {**spec, "queueName": QUEUE, "pool": {"maxServers": 1, "idleSeconds": 1}})


def test_a_server_waits_for_quota_and_runs_once_there_is_some(queued: Studio) -> None:
    queued.order("first", count=20)
    queued.wait_running("first")
    gated = order_in_vain(queued, "second")
    assert {"name": "kueue.x-k8s.io/admission"} in gated["spec"]["schedulingGates"]
    queued.kubectl("delete", "cgj", "first")
    job = queued.complete("second")
    check_stored(queued, job, 1)
    assert [attempt["server"] for attempt in job["status"]["attempts"]] == [gated["metadata"]["name"]]


def test_a_server_that_waits_goes_with_its_job(queued: Studio) -> None:
    queued.order("first", count=20)
    queued.wait_running("first")
    gated = order_in_vain(queued, "second")
    queued.kubectl("delete", "cgj", "second")
    queued.kubectl("wait", "--for=delete", PULL, f"pod/{gated['metadata']['name']}")
    assert queued.get("cgj", "first")["status"]["state"] == "Running"


def order_in_vain(studio: Studio, name: str) -> dict[str, Any]:
    """Order from the other profile while there is no quota; returns the server once job and profile say so."""
    profile = second(studio)
    studio.order(name, profiles=[profile])
    studio.wait_for_words(WAITING, "cgj", name)
    studio.wait_for_words(WAITING, "hardwareprofile", profile, READY_MESSAGE)
    [pod] = json.loads(studio.kubectl("get", "pods", "-l", f"comfyard.io/profile={profile}", "-o", "json"))["items"]
    return dict(pod)


def test_a_job_whose_server_is_preempted_goes_back_uncounted(queued: Studio) -> None:
    create(queued, "WorkloadPriorityClass", "urgent", value=1000)
    queued.order("storm", count=4, backoffLimit=0)
    queued.wait_running("storm")
    queued.cluster.apply(json.dumps(urgent_pod(queued.cluster.images["comfyard"])), queued.namespace)
    queued.kubectl("wait", "--for=condition=Ready", PULL, "pod/urgent")
    queued.wait_for_words(WAITING, "cgj", "storm")
    queued.kubectl("delete", "pod", "urgent")
    job = queued.complete("storm")
    check_stored(queued, job, 4)
    assert [a.get("class") for a in job["status"]["attempts"]] == ["ServerLost", None]


def urgent_pod(image: str) -> dict[str, Any]:
    """A pod of somebody else that wants the GPU, and is more important than a server of ours."""
    container = {
        "name": "sleep",
        "image": image,
        "command": ["sleep", "600"],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    labels = {"kueue.x-k8s.io/queue-name": QUEUE, "kueue.x-k8s.io/priority-class": "urgent"}
    user = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "urgent", "labels": labels},
        "spec": {"terminationGracePeriodSeconds": 0, "securityContext": user, "containers": [container]},
    }
