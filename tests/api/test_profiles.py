"""What is told of profiles whose servers do not start, and whose jobs they admit. The tests play kubelet by status."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from comfyard.api.conditions import timestamp
from tests.api.conftest import Studio
from tests.conftest import Kubectl

pytestmark = pytest.mark.api

READY = ".status.conditions[?(@.type=='Ready')]"


def kubelet_says(studio: Studio, pod: str, *statuses: dict[str, Any], **status: Any) -> None:
    """What kubelet writes of a pod that has a node."""
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp(datetime.now(UTC))}
    whole = {"phase": "Pending", "conditions": [scheduled], "containerStatuses": list(statuses), **status}
    studio.patch_status("pod", pod.removeprefix("pod/"), whole)


def waiting(reason: str, message: str = "", name: str = "comfyui", **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    base = {"name": name, "ready": False, "restartCount": 0, "image": "", "imageID": "", "state": state}
    return {**base, **more}


def ended(message: str, code: int = 1) -> dict[str, Any]:
    at = {"startedAt": "2026-01-02T03:04:05Z", "finishedAt": "2026-01-02T03:04:06Z"}
    return {"terminated": {"exitCode": code, "reason": "Error", "message": message, **at}}


def wait_ready_is(studio: Studio, reason: str, profile: str = "") -> dict[str, Any]:
    """Wait for the reason of the condition Ready, and return the conditions by type."""
    name = profile or studio.profile
    studio.wait(f"chp/{name}", f"{READY}.reason", reason)
    return {each["type"]: each for each in studio.get("chp", name)["status"]["conditions"]}


def events(kubectl: Kubectl, studio: Studio, reason: str) -> list[str]:
    """What people hear of the profile."""
    found = json.loads(kubectl("-n", "default", "get", "events", "-o", "json"))["items"]
    about = (e for e in found if e["involvedObject"]["name"] == studio.profile and e["reason"] == reason)
    return [str(each["message"]) for each in about]


def test_an_image_that_cannot_be_pulled_is_told_once_and_where_people_look(kubectl: Kubectl, studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    pod = studio.wait_servers(1)[0]
    cause = 'failed to resolve reference "comfyui:1": not found'
    kubelet_says(studio, pod, waiting("ErrImagePull", f"rpc error: code = NotFound desc = {cause}"))
    conditions = wait_ready_is(studio, "ImagePullBackOff")
    assert (conditions["Ready"]["status"], conditions["Reconciling"]["status"]) == ("False", "True")
    assert f"image comfyui:1 cannot be had: {cause}; correct spec.server.image" in conditions["Ready"]["message"]
    assert studio.namespace in conditions["Ready"]["message"]
    studio.wait_message("a", "image comfyui:1 cannot be had")
    kubelet_says(studio, pod, waiting("ImagePullBackOff", f'Back-off pulling image "comfyui:1": ErrImagePull: {cause}'))
    studio.server_is_ready(pod)
    wait_ready_is(studio, "Accepted")
    studio.wait_assigned("a")
    assert len(events(kubectl, studio, "ImagePullBackOff")) == 1


def test_one_that_fails_is_enough_to_know_that_others_would(studio: Studio) -> None:
    studio.prepare(max_servers=3)
    studio.order("a")
    pod = studio.wait_servers(1)[0]
    kubelet_says(studio, pod, waiting("InvalidImageName", "couldn't parse image name"))
    wait_ready_is(studio, "InvalidImageName")
    studio.order("b")
    studio.order("c")
    studio.wait("cgj/c", ".status.state", "Queued")
    assert studio.servers() == [pod]


def test_a_crash_loop_tells_the_end_of_the_log(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    pod = studio.wait_servers(1)[0]
    log = "Traceback (most recent call last):\n  File main.py\nImportError: libGL.so.1\n"
    crash = waiting("CrashLoopBackOff", "back-off 10s", restartCount=3, lastState=ended(log))
    kubelet_says(studio, pod, crash)
    told = wait_ready_is(studio, "CrashLoopBackOff")["Ready"]["message"]
    assert "ends with exit code 1 each time it is started; the end of its log: Traceback (most recent" in told
    assert "ImportError: libGL.so.1; correct spec.server of profile" in told
    studio.wait_message("a", "ImportError: libGL.so.1")


def test_custom_nodes_that_fail_to_import_are_told_in_the_agents_words(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    pod = studio.wait_servers(1)[0]
    why = "ComfyUI cannot import the custom nodes pack: No module named 'cv2'"
    said = json.dumps({"reason": "CustomNodeFailed", "message": f"{why}\nTraceback\nModuleNotFoundError"})
    agent = waiting("CrashLoopBackOff", name="agent", restartCount=1, lastState=ended(said))
    kubelet_says(studio, pod, agent)
    assert why in wait_ready_is(studio, "CustomNodeFailed")["Ready"]["message"]
    studio.wait_message("a", why)


def test_volumes_that_do_not_mount_are_told_though_only_events_tell(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    pod = studio.get("pod", studio.wait_servers(1)[0].removeprefix("pod/"))
    kubelet_says(studio, pod["metadata"]["name"], waiting("ContainerCreating"))
    about = {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": studio.namespace}
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "mount", "namespace": studio.namespace},
        "involvedObject": {**about, "uid": pod["metadata"]["uid"]},
        "type": "Warning",
        "reason": "FailedMount",
        "message": 'MountVolume.SetUp failed for volume "pvc-1": no such server',
        "lastTimestamp": timestamp(datetime.now(UTC)),
    }
    studio.kubectl("create", "-f", "-", stdin=json.dumps(event))
    told = "MountVolume.SetUp failed"
    studio.until(
        lambda: told in studio.get("chp", studio.profile)["status"]["conditions"][0]["message"], "chp", studio.profile
    )
    studio.wait_ready(f"chp/{studio.profile}")  # it may still come


def test_a_job_goes_to_the_first_of_its_profiles_whose_servers_can_start(studio: Studio) -> None:
    studio.prepare()
    spec = studio.get("chp", studio.profile)["spec"]
    second = f"{studio.profile}-b"
    studio.create("HardwareProfile", second, spec)
    studio.order("a", profiles=[studio.profile, second])
    pod = studio.wait_servers(1)[0]
    assert pod.startswith(f"pod/{studio.profile}-")
    kubelet_says(studio, pod, waiting("ErrImagePull", "not found"))
    other = next(each for each in studio.wait_servers(2) if each != pod)
    assert studio.get("pod", other.removeprefix("pod/"))["metadata"]["labels"]["comfyard.io/profile"] == second
    studio.server_is_ready(other)
    studio.wait_assigned("a")
    assert studio.status("a")["assignment"]["profile"] == second


def test_a_profile_that_starts_nothing_takes_no_other_with_it(studio: Studio) -> None:
    studio.prepare()
    second = f"{studio.profile}-b"
    studio.create("HardwareProfile", second, studio.get("chp", studio.profile)["spec"])
    studio.order("a")
    kubelet_says(studio, studio.wait_servers(1)[0], waiting("ErrImagePull", "not found"))
    wait_ready_is(studio, "ImagePullBackOff")
    studio.order("b", profiles=[second])
    studio.server_is_ready(next(each for each in studio.wait_servers(2) if second in each))
    studio.wait_assigned("b")


def test_a_changed_image_is_tried_at_once(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    pod = studio.wait_servers(1)[0]
    kubelet_says(studio, pod, waiting("ErrImagePull", "not found"))
    wait_ready_is(studio, "ImagePullBackOff")
    studio.kubectl("patch", "chp", studio.profile, "--type=merge", "-p", '{"spec":{"server":{"image":"comfyui:2"}}}')
    others = studio.until(lambda: [each for each in studio.servers() if each != pod], "pods")
    made = studio.get("pod", others[0].removeprefix("pod/"))
    assert made["spec"]["containers"][0]["image"] == "comfyui:2"


def test_a_job_waits_until_the_profile_admits_its_namespace(studio: Studio) -> None:
    selector = {"from": "Selector", "selector": {"matchLabels": {"comfyard-test": studio.namespace}}}
    studio.prepare()
    studio.kubectl(
        *("patch", "chp", studio.profile, "--type=merge", "-p", json.dumps({"spec": {"namespaces": selector}}))
    )
    studio.order("a")
    studio.wait("cgj/a", f"{READY}.reason", "ProfileNotAllowed")
    assert f"profile {studio.profile} does not admit namespace {studio.namespace}" in studio.status("a")["message"]
    assert studio.servers() == []
    studio.kubectl("label", "namespace", studio.namespace, f"comfyard-test={studio.namespace}")
    studio.start_server()
    studio.wait_assigned("a")


def test_what_is_warmed_up_with_is_in_the_pod_and_why_not_in_the_status(studio: Studio) -> None:
    studio.prepare()
    warm_up = {"namespace": studio.namespace, "template": "text-to-image"}
    change = {"spec": {"pool": {"minServers": 1, "warmUp": warm_up}}}
    studio.kubectl("patch", "chp", studio.profile, "--type=merge", "-p", json.dumps(change))
    path = ".status.conditions[?(@.type=='WarmUp')].reason"
    studio.wait(f"chp/{studio.profile}", path, "NoDefault")
    template = studio.get("cwt", "text-to-image")["spec"]
    template["parameters"][0] = {"name": "prompt", "type": "String", "default": "a lighthouse"}
    studio.create("WorkflowTemplate", "text-to-image", template)
    studio.wait(f"chp/{studio.profile}", path, "Accepted")
    pod = studio.get("pod", studio.wait_servers(1)[0].removeprefix("pod/"))  # before the first job
    graph = json.loads(pod["metadata"]["annotations"]["comfyard.io/warm-up"])
    assert graph["6"]["inputs"]["text"] == "a lighthouse, sharp"
    agent = next(each for each in pod["spec"]["containers"] if each["name"] == "agent")
    assert {"name": "COMFYARD_WARM_UP", "value": "/comfyard/config/warm-up.json"} in agent["env"]


NEW_FIELDS: list[dict[str, Any]] = [
    {"server": {"image": "i", "sharedMemory": "2Gi", "drainSeconds": 300}},
    {"server": {"image": "i"}, "mmap": "Never", "queueName": "gpus"},
    {"server": {"image": "i"}, "pool": {"minServers": 2, "maxServers": 2, "queueDepth": 1, "jobsPerServer": 100}},
    {"server": {"image": "i"}, "pool": {"warmUp": {"namespace": "studio", "template": "t"}}},
    {"server": {"image": "i"}, "namespaces": {"from": "All"}},
    {
        "server": {"image": "i"},
        "namespaces": {
            "from": "Selector",
            "selector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["film"]}]},
        },
    },
]


@pytest.mark.parametrize("spec", NEW_FIELDS, ids=lambda spec: ",".join(sorted(spec)))
def test_fields_of_servers_and_pools_are_taken_as_they_are(kubectl: Kubectl, spec: dict[str, Any]) -> None:
    obj = {"apiVersion": "comfyard.io/v1alpha1", "kind": "HardwareProfile", "metadata": {"name": "x"}, "spec": spec}
    taken = json.loads(kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(obj)))["spec"]
    for name, value in spec.items():
        kept = taken[name]
        assert kept == value if not isinstance(value, dict) else value.items() <= kept.items(), name


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        ({"minServers": 5}, "minServers must not be more than maxServers"),  # maxServers is 4 when it is not given
        ({"queueDepth": 0}, "spec.pool.queueDepth in body should be greater than or equal to 1"),
        ({"jobsPerServer": -1}, "spec.pool.jobsPerServer"),
    ],
)
def test_pools_that_make_no_sense_are_refused(kubectl: Kubectl, pool: dict[str, Any], said: str) -> None:
    spec = {"server": {"image": "i"}, "pool": pool}
    obj = {"apiVersion": "comfyard.io/v1alpha1", "kind": "HardwareProfile", "metadata": {"name": "x"}, "spec": spec}
    assert said in kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(obj), ok=False)
