"""Why a server does not start: what kube-scheduler, kubelet and the agent say of it, and what a person reads."""

import json
from datetime import timedelta
from typing import Any

import pytest

from comfyard.api.attempts import parse_time
from comfyard.controller import pods
from comfyard.controller.containers import last_lines
from comfyard.controller.pools import COMFYUI, Load, Server, observe_server
from comfyard.controller.server_trouble import PATIENCE_SECONDS
from comfyard.controller.trouble import Trouble
from comfyard.kube.kinds import Obj
from tests.builders import meta

CREATED, SINCE = "2026-01-02T03:04:00Z", "2026-01-02T03:05:00Z"
IMAGE = "registry/comfyui:1"


def pod(*statuses: dict[str, Any], unscheduled: str = "", phase: str = "Pending", **status: Any) -> Obj:
    scheduled = {"type": "PodScheduled", "status": "False" if unscheduled else "True", "lastTransitionTime": SINCE}
    more = {"reason": "Unschedulable", "message": unscheduled} if unscheduled else {}
    return {
        "metadata": meta("l4-1", labels={"comfyard.io/profile": "l4"}),
        "spec": {"containers": [{"name": COMFYUI, "image": IMAGE}, {"name": "agent", "image": "comfyard:1"}]},
        "status": {
            "phase": phase,
            "conditions": [{**scheduled, **more}],
            "containerStatuses": list(statuses),
            **status,
        },
    }


def observe(obj: Obj, told: Trouble | None = None) -> Server:
    return observe_server(obj, Load(), told)


def waiting(reason: str, message: str = "", *, name: str = COMFYUI, last: dict[str, Any] | None = None) -> Obj:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": name, "ready": False, "restartCount": 5 if last else 0, "state": state, "lastState": last or {}}


def ended(code: int = 1, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": SINCE}}


def running(*, restarts: int, last: dict[str, Any], name: str = COMFYUI) -> Obj:
    return {"name": name, "ready": False, "restartCount": restarts, "state": {"running": {}}, "lastState": last}


NO_GPU = "0/{} nodes are available: {} Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {{gpu: true}}."
NO_VICTIM = " preemption: 0/{} nodes are available: {} No preemption victims found for incoming pod."
PULL = 'failed to resolve reference "registry/comfyui:1": registry/comfyui:1: not found'
RPC = f'rpc error: code = NotFound desc = failed to pull and unpack image "registry/comfyui:1": {PULL}'
AFFINITY = "0/2 nodes are available: 2 node(s) didn't match pod affinity rules."
ONE_POD = "0/1 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod."
LAST = "\x1b[31mTraceback\x1b[0m\n  File \"main.py\"\n\nModuleNotFoundError: No module named 'torch'\n"


@pytest.mark.parametrize(
    ("obj", "reason", "parts"),
    [
        (
            pod(unscheduled=NO_GPU.format(5, 4) + NO_VICTIM.format(5, 4)),
            "Unschedulable",
            [
                "no node takes it: Insufficient nvidia.com/gpu, had untolerated taint {gpu: true}; add a node",
                "ask for less in profile l4: spec.gpu",
            ],
        ),
        (pod(unscheduled=AFFINITY), "Unschedulable", ["can be mounted on one node only", "ReadWriteMany"]),
        (pod(unscheduled=ONE_POD), "Unschedulable", ["ReadWriteOncePod serves one pod at a time"]),
        (
            pod(unscheduled='persistentvolumeclaim "photos" not found'),
            "ClaimNotFound",
            ["PersistentVolumeClaim photos not found; create the claim"],
        ),
        (
            pod(unscheduled="0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"),
            "ClaimNotBound",
            ["a claim that it mounts has no volume yet; `kubectl describe pvc`"],
        ),
        (
            pod(waiting("ErrImagePull", RPC)),
            "ImagePullBackOff",
            [
                f"container comfyui: image {IMAGE} cannot be had: failed to pull",
                "not found; correct spec.server.image of",
            ],
        ),
        (
            pod(waiting("InvalidImageName", 'Failed to apply default image tag "A b"')),
            "InvalidImageName",
            ["cannot be had: Failed to apply", "spec.server.image of profile l4"],
        ),
        (
            pod(waiting("CrashLoopBackOff", "back-off 40s", last=ended(1, LAST))),
            "CrashLoopBackOff",
            ["ends with exit code 1 each time", 'the end of its log: Traceback / File "main.py" / ModuleNotFoundError'],
        ),
        (
            pod(waiting("CrashLoopBackOff", last=ended(137, reason="OOMKilled"))),
            "OOMKilled",
            ["takes more memory than its limit; raise spec.server.resources.limits.memory of profile l4"],
        ),
        (
            pod(waiting("CreateContainerConfigError", 'secret "x" not found')),
            "CreateContainerConfigError",
            ['container comfyui cannot be started: secret "x" not found; correct spec.server of profile l4'],
        ),
        (
            pod(waiting("RunContainerError", 'exec: "python3": executable file not found in $PATH', last=ended(128))),
            "RunContainerError",
            ["executable file not found", "(command, image)"],
        ),
        (
            pod(phase="Failed", reason="UnexpectedAdmissionError", message="no GPU"),
            "UnexpectedAdmissionError",
            ["no GPU"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_said_has_the_cause_and_the_fix(obj: Obj, reason: str, parts: list[str]) -> None:
    seen = observe(obj)
    assert seen.reason == reason
    assert all(part in (seen.trouble or "") for part in parts), seen.trouble


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            pod(waiting("ErrImagePull", RPC)),
            pod(waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {RPC}')),
        ),
        (
            pod(waiting("CrashLoopBackOff", "back-off 10s", last=ended(1, LAST))),
            pod(running(restarts=2, last=ended(1, LAST))),
        ),
        (
            pod(waiting("CrashLoopBackOff", "back-off 10s", last=ended(1, LAST))),
            pod({**running(restarts=2, last={}), "state": ended(1, LAST)}),
        ),
        (
            pod(unscheduled=NO_GPU.format(5, 4) + NO_VICTIM.format(5, 4)),
            pod(unscheduled=NO_GPU.format(8, 7).replace("1 node(s)", "3 node(s)")),
        ),
    ],
    ids=["pull", "crash and try", "crash and end", "nodes"],
)
def test_the_words_do_not_change_while_the_cause_is_the_same(one: Obj, other: Obj) -> None:
    assert observe(one).trouble == observe(other).trouble
    assert observe(one).trouble


@pytest.mark.parametrize(
    "obj",
    [
        pod(),
        pod(waiting("ContainerCreating"), waiting("ContainerCreating", name="agent")),
        pod(running(restarts=0, last={})),
        pod(running(restarts=1, last=ended())),
    ],
)
def test_a_server_that_only_starts_has_no_trouble(obj: Obj) -> None:
    assert (observe(obj).trouble, observe(obj).fails_at) == (None, None)


def test_the_agent_tells_of_custom_nodes_that_comfyui_lacks() -> None:
    why = "ComfyUI cannot import the custom nodes pack: No module named 'cv2'; take them out of the bundle"
    traceback = "Traceback (most recent call last):\n  File a\n  import cv2\nModuleNotFoundError: No module named 'cv2'"
    said = json.dumps({"reason": "CustomNodeFailed", "message": f"{why}\n{traceback}"})
    for status in (
        waiting("CrashLoopBackOff", name="agent", last=ended(1, said)),
        running(restarts=1, last=ended(1, said), name="agent"),
        {"name": "agent", "ready": False, "state": ended(1, said)},
    ):
        seen = observe(pod(status))
        assert seen.reason == "CustomNodeFailed"
        assert seen.trouble == f"{why} / File a / import cv2 / ModuleNotFoundError: No module named 'cv2'"


@pytest.mark.parametrize("said", ["", "Traceback", "[]", '{"reason": 3}', '{"reason": "WarmUpFailed", "message": "x"}'])
def test_other_last_words_of_an_agent_are_its_log(said: str) -> None:
    assert observe(pod(waiting("CrashLoopBackOff", name="agent", last=ended(1, said)))).reason == "CrashLoopBackOff"


def test_comfyui_cannot_speak_for_the_agent() -> None:
    said = json.dumps({"reason": "CustomNodeFailed", "message": "x"})
    assert observe(pod(waiting("CrashLoopBackOff", last=ended(1, said)))).reason == "CrashLoopBackOff"


MOUNT = Trouble("FailedMount", 'MountVolume.SetUp failed for volume "models"')


def test_events_speak_for_a_pod_that_is_being_set_up_and_no_longer() -> None:
    creating = pod(waiting("ContainerCreating"), waiting("ContainerCreating", name="agent"))
    assert observe(creating, MOUNT).reason == "FailedMount"
    assert observe(pod(running(restarts=0, last={})), MOUNT).reason == ""
    attach = Trouble("FailedAttachVolume", "Multi-Attach error for volume pvc-1")
    assert "can be mounted on one node only" in (observe(creating, attach).trouble or "")


def event(reason: str, at: str) -> Obj:
    return {"metadata": {}, "reason": reason, "message": f"{reason}: x", "lastTimestamp": f"2026-01-02T03:04:{at}Z"}


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([], None),
        ([event("Scheduled", "01")], None),
        ([event("FailedMount", "02"), event("Scheduled", "01")], "FailedMount"),
        ([event("FailedMount", "02"), event("FailedAttachVolume", "03")], "FailedAttachVolume"),
        ([event("FailedMount", "02"), event("Pulling", "03")], None),  # it is over, and the image is large
    ],
)
def test_the_last_event_tells_whether_a_pod_is_set_up(events: list[Obj], reason: str | None) -> None:
    found = pods.set_up_trouble(events)
    assert (found.reason if found else None) == reason


@pytest.mark.parametrize(
    ("obj", "told", "fails_at"),
    [
        (pod(waiting("ErrImagePull", RPC)), None, parse_time(CREATED)),
        (pod(unscheduled=NO_GPU.format(5, 4)), None, parse_time(SINCE) + timedelta(seconds=PATIENCE_SECONDS)),
        (pod(), MOUNT, parse_time(CREATED) + timedelta(seconds=PATIENCE_SECONDS)),
    ],
    ids=["image", "no node", "mount"],
)
def test_what_an_autoscaler_may_heal_is_no_failure_at_once(obj: Obj, told: Trouble | None, fails_at: object) -> None:
    assert observe(obj, told).fails_at == fails_at


def test_a_log_is_cut_to_its_end() -> None:
    assert last_lines("a\n\n b \nc\x00\x07\nd") == "b / c / d"
    assert len(last_lines("x" * 5000)) == 200


def test_a_pod_that_drains_is_not_lost_before_its_agent_is_done() -> None:
    leaving = pod()
    leaving["status"]["conditions"].append({"type": "Ready", "status": "False", "lastTransitionTime": CREATED})
    assert observe(leaving).lost_at == parse_time(CREATED) + timedelta(seconds=20)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-02T03:10:00Z"
    assert observe(leaving).lost_at == parse_time("2026-01-02T03:10:05Z")
    leaving["status"]["phase"] = "Failed"  # nobody is left in it
    assert observe(leaving).lost_at == parse_time(CREATED) + timedelta(seconds=20)
