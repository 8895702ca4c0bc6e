"""Where results go, where inputs come from, and how long a job may take: the operator, seen through the API server."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from comfyard.api.conditions import timestamp
from tests.api.conftest import WAIT, Studio
from tests.unit.controller.test_job_acceptance import with_photo

pytestmark = pytest.mark.api

CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "photos"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def create_claim(studio: Studio) -> None:
    studio.kubectl("apply", "-f", "-", stdin=json.dumps(CLAIM))


def annotate(studio: Studio, value: str) -> None:
    studio.kubectl("annotate", "--overwrite", "namespace", studio.namespace, f"comfyard.io/output={value}")


def take_photo(studio: Studio, name: str, source: dict[str, Any], **spec: Any) -> None:
    """Order from the template that takes a picture."""
    inputs = [{"parameter": "photo", **source}]
    studio.order(name, template={"name": "from-photo"}, inputs=inputs, **spec)


def prepare(studio: Studio) -> None:
    studio.prepare()
    studio.create("WorkflowTemplate", "from-photo", with_photo())
    studio.wait_ready("cwt/from-photo")


def complete(studio: Studio, name: str, uri: str) -> None:
    """What the agent writes, with one picture stored."""
    about = {"name": "image", "index": 0, "uri": uri, "sha256": "a" * 64, "bytes": 1, "contentType": "image/png"}
    studio.patch_status("cgj", name, {"outputs": [about]})
    studio.complete(name)


def reason(studio: Studio, name: str, why: str) -> None:
    studio.wait(f"cgj/{name}", ".status.conditions[?(@.type=='Ready')].reason", why)


def test_the_namespace_says_where_results_go(studio: Studio) -> None:
    annotate(studio, '{"clam": {"name": "photos"}}')
    studio.prepare()  # the operator hears of the namespace meanwhile: by another watch than that of jobs
    studio.order("a")
    reason(studio, "a", "InvalidOutputAnnotation")
    assert (
        "says no place for results: clam: Extra inputs are not permitted; correct it" in studio.status("a")["message"]
    )
    annotate(studio, '{"claim": {"name": "photos"}, "metadata": "Strip"}')
    reason(studio, "a", "ClaimNotFound")
    create_claim(studio)
    pod = studio.start_server()
    studio.wait_assigned("a")
    assert studio.status("a")["output"] == {"claim": {"name": "photos", "path": ""}, "metadata": "Strip"}
    claims = [v["persistentVolumeClaim"]["claimName"] for v in volumes(studio, pod)]
    assert "photos" in claims
    assert "comfyard-results" not in claims


def volumes(studio: Studio, pod: str) -> list[dict[str, Any]]:
    spec = studio.get("pod", pod.removeprefix("pod/"))["spec"]
    return [v for v in spec["volumes"] if "persistentVolumeClaim" in v]


def test_a_job_waits_for_the_one_that_it_takes_an_input_from_and_runs_on_its_server(studio: Studio) -> None:
    prepare(studio)
    take_photo(studio, "second", {"job": {"name": "first", "output": "image"}})
    reason(studio, "second", "JobNotFound")
    studio.order("first")
    reason(studio, "second", "InputNotReady")
    pod = studio.start_server()
    studio.wait_assigned("first")
    complete(studio, "first", "claim://comfyard-results/studio/first/image-000.png")
    studio.wait_assigned("second")
    assert studio.status("second")["assignment"]["server"] == pod.removeprefix("pod/")
    assert studio.servers() == [pod]


def test_a_failure_ends_all_that_take_inputs_from_it(studio: Studio) -> None:
    prepare(studio)
    take_photo(studio, "third", {"job": {"name": "second", "output": "image"}})
    take_photo(studio, "second", {"job": {"name": "first", "output": "image"}})
    reason(studio, "second", "JobNotFound")
    studio.order("first", parameters={})
    for name in ("second", "third"):
        studio.kubectl("wait", "--for=condition=Failed", WAIT, f"cgj/{name}")
        reason(studio, name, "InputFailed")
    assert studio.servers() == []


def test_jobs_that_take_inputs_from_each_other_fail(studio: Studio) -> None:
    prepare(studio)
    take_photo(studio, "a", {"job": {"name": "b", "output": "image"}})
    reason(studio, "a", "JobNotFound")
    take_photo(studio, "b", {"job": {"name": "a", "output": "image"}})
    for name in ("a", "b"):
        studio.kubectl("wait", "--for=condition=Failed", WAIT, f"cgj/{name}")
    assert {studio.status(name)["message"].partition(":")[0] for name in "ab"} <= {
        "jobs wait for each other's results",
        "job a (input of parameter photo) has failed",
        "job b (input of parameter photo) has failed",
    }


def test_claims_and_secrets_of_inputs_are_given_to_the_agent(studio: Studio) -> None:
    prepare(studio)
    take_photo(studio, "a", {"claim": {"name": "photos", "path": "me.png"}})
    reason(studio, "a", "ClaimNotFound")
    create_claim(studio)
    pod = studio.start_server()
    studio.wait_assigned("a")
    assert [v.get("readOnly") for v in volumes(studio, pod) if v["persistentVolumeClaim"]["claimName"] == "photos"]
    bucket = {"bucket": "b", "key": "me.png", "secretRef": {"name": "keys"}}
    take_photo(studio, "b", {"s3": bucket}, output={"s3": {"bucket": "c", "secretRef": {"name": "more-keys"}}})
    studio.wait_servers(2)  # their Role is there before they are
    rules = studio.get("role", "comfyard-agent")["rules"]
    assert [r["resourceNames"] for r in rules if r["resources"] == ["secrets"]] == [["keys", "more-keys"]]


def test_a_deadline_fails_the_job_and_gives_its_server_to_the_next(studio: Studio) -> None:
    studio.prepare(max_servers=1)
    studio.order("a", activeDeadlineSeconds=3600)
    studio.start_server()
    studio.wait_assigned("a")
    studio.order("b", activeDeadlineSeconds=1)  # queued, which does not count
    studio.kubectl("patch", "cgj", "a", "--type=merge", "-p", '{"spec":{"activeDeadlineSeconds":1}}')
    studio.kubectl("wait", "--for=condition=Failed", WAIT, "cgj/a")
    status = studio.status("a")
    assert "assignment" not in status
    assert [a["class"] for a in status["attempts"]] == ["DeadlineExceeded"]
    studio.kubectl("wait", "--for=condition=Failed", WAIT, "cgj/b")
    assert [a["class"] for a in studio.status("b")["attempts"]] == ["DeadlineExceeded"]


def test_a_finished_job_is_deleted_after_its_time_but_not_under_those_that_need_it(studio: Studio) -> None:
    prepare(studio)
    studio.order("first", ttlSecondsAfterFinished=3600)
    take_photo(studio, "second", {"job": {"name": "first", "output": "image"}})
    studio.start_server()
    studio.wait_assigned("first")
    complete(studio, "first", "claim://comfyard-results/studio/first/image-000.png")
    studio.wait_assigned("second")
    studio.kubectl("patch", "cgj", "first", "--type=merge", "-p", '{"spec":{"ttlSecondsAfterFinished":0}}')
    studio.wait("cgj/first", ".status.observedGeneration", "2")  # looked at again, and left
    studio.complete("second")
    studio.kubectl("wait", "--for=delete", WAIT, "cgj/first")
    studio.get("cgj", "second")


def test_a_kill_for_memory_is_told_and_counted(studio: Studio) -> None:
    studio.prepare()
    studio.order("a", backoffLimit=0)
    pod = studio.start_server()
    studio.wait_assigned("a")
    name, now = studio.status("a")["assignment"]["server"], timestamp(datetime.now(UTC))
    record = {"id": studio.status("a")["assignment"]["id"], "server": name, "start": now, "end": now}
    lost = {**record, "outcome": "Failed", "class": "ServerLost", "message": "ComfyUI went away"}
    studio.patch_status("cgj", "a", {"attempts": [lost], "assignment": None})
    studio.wait_assigned("a")  # at once, as nobody knows yet why
    ended = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": now, "startedAt": now}
    container = {"name": "comfyui", "image": "c", "imageID": "", "ready": True, "restartCount": 1, "state": {}}
    studio.patch_status(
        "pod", pod.removeprefix("pod/"), {"containerStatuses": [container | {"lastState": {"terminated": ended}}]}
    )
    studio.wait("cgj/a", ".status.attempts[0].reason", "OOMKilled")
    studio.fail("a", "ServerLost", "ComfyUI went away again")
    studio.kubectl("wait", "--for=condition=Failed", WAIT, "cgj/a")
    assert studio.status("a")["message"].startswith("failed 1 times, backoffLimit is 0: ")


def test_the_receipt_is_written_with_the_assignment(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")
    status = studio.status("a")
    assert status["receipt"]["template"] == status["template"]["digest"]
    assert status["receipt"]["models"] == [{"path": "checkpoints/sd15.safetensors", "sha256": "a" * 64}]
