"""What the operator does about bundles, claims and store syncs. The tests report as the store sync would."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.api.conftest import SECONDS, WAIT, Studio
from tests.builders import SHA
from tests.conftest import ROOT, Kubectl

pytestmark = pytest.mark.api

CLAIM = "comfyard-models"
READY = ".status.conditions[?(@.type=='Ready')]"
NODE = {"name": "pack", "git": {"url": "https://host/pack", "commit": "c" * 40}}


def model(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"path": f"loras/{name}", "source": {"http": {"url": f"http://host/{name}"}}, "sha256": SHA, **more}


def row(name: str = "a", state: str = "Ready", **more: Any) -> dict[str, Any]:
    return {"path": f"loras/{name}", "state": state, "sha256": SHA, "size": 10, **more}


def create(studio: Studio, name: str = "sd15", **spec: Any) -> None:
    studio.create("ModelBundle", name, {"models": [model()], **spec})


def observed(studio: Studio, name: str = "sd15") -> int:
    """Wait until the operator has seen the bundle as it is, and return its generation."""
    generation: int = studio.get("cmb", name)["metadata"]["generation"]
    studio.wait(f"cmb/{name}", ".status.observedGeneration", str(generation))
    return generation


def report(studio: Studio, *rows: dict[str, Any], name: str = "sd15", **fields: Any) -> None:
    """What the sync says once it has seen the bundle as it is."""
    studio.patch_status("cmb", name, {"syncedGeneration": observed(studio, name), "models": list(rows), **fields})


def change(studio: Studio, spec: dict[str, Any], name: str = "sd15") -> None:
    studio.kubectl("patch", "cmb", name, "--type=merge", "-p", json.dumps({"spec": spec}))


def wait_reason(studio: Studio, reason: str, name: str = "sd15") -> str:
    studio.wait(f"cmb/{name}", f"{READY}.reason", reason)
    found = next(c for c in studio.get("cmb", name)["status"]["conditions"] if c["type"] == "Ready")
    return str(found["message"])


def wait_sync(studio: Studio, other_than: str = "") -> dict[str, Any]:
    """Wait for the Job of the one claim, another than one that was seen before."""

    def found() -> list[dict[str, Any]]:
        jobs = json.loads(studio.kubectl("get", "jobs", "-o", "json"))["items"]
        return [job for job in jobs if job["metadata"]["uid"] != other_than]

    return studio.until(found, "jobs")[0]


def bind(studio: Studio, name: str = CLAIM) -> None:
    """What the volume controller says in the end."""
    studio.kubectl("wait", "--for=create", WAIT, f"pvc/{name}")
    studio.patch_status("pvc", name, {"phase": "Bound"})


def wait_events(studio: Studio, *reasons: str) -> list[str]:
    """Wait until describe tells of all these, and return what it tells of events."""

    def told() -> list[str]:
        lines = studio.kubectl("describe", "cmb", "sd15").partition("Events:")[2].splitlines()
        return lines if all(any(reason in line for line in lines) for reason in reasons) else []

    return [line.strip() for line in studio.until(told, "events")]


def test_a_bundle_gets_a_claim_a_sync_and_an_inventory(studio: Studio) -> None:
    create(studio)
    assert "has no volume yet" in wait_reason(studio, "ClaimPending")
    job = wait_sync(studio)
    assert job["spec"]["ttlSecondsAfterFinished"] == 600
    inventory = studio.get("configmap", job["metadata"]["name"])
    assert inventory["metadata"]["ownerReferences"][0]["uid"] == studio.get("pvc", CLAIM)["metadata"]["uid"]
    bind(studio)
    assert wait_reason(studio, "Fetching") == "0 of 1 files"
    report(studio, row())
    studio.wait_ready("cmb/sd15")


def test_what_happens_to_a_bundle_is_seen_in_its_events(studio: Studio) -> None:
    create(studio)
    report(studio, row(state="Failed", reason="NotFound", message="http://host/a says 404"))
    wait_reason(studio, "NotFound")
    report(studio, row())
    studio.wait_ready("cmb/sd15")
    lines = wait_events(studio, "ClaimCreated", "NotFound", "Verified")
    assert any(line.startswith("Warning  NotFound") and "loras/a: http://host/a says 404" in line for line in lines)
    assert any(line.startswith("Normal   Verified") and "comfyard" in line for line in lines)


def test_a_stalled_bundle_is_tried_again_when_its_sync_is_cleared(studio: Studio) -> None:
    create(studio)
    first = wait_sync(studio)
    report(studio, row(state="Failed", reason="Unauthorized", message="401"))
    studio.kubectl("wait", "--for=condition=Stalled", WAIT, "cmb/sd15")
    studio.kubectl("delete", "job", first["metadata"]["name"])
    wait_sync(studio, other_than=first["metadata"]["uid"])


def test_suspend_and_resume(studio: Studio) -> None:
    create(studio, suspend=True)
    report(studio, row(state="Pending", reason="Suspended"))
    assert "set spec.suspend to false to go on" in wait_reason(studio, "Suspended")
    change(studio, {"suspend": False})
    assert observed(studio) == 2
    wait_sync(studio)
    report(studio, row())
    studio.wait_ready("cmb/sd15")


def test_profiles_decide_what_is_left_out(studio: Studio) -> None:
    models = [model("high", tags=["High"]), model("low", tags=["Low"])]
    create(studio, models=models, profiles=[studio.profile])
    said = wait_reason(studio, "ProfileNotFound")
    assert f"hardwareprofiles.comfyard.io {studio.profile} not found" in said
    assert studio.get("cmb", "sd15")["status"]["observedGeneration"] == -1
    server = {"image": "comfyui:1"}
    studio.create("HardwareProfile", studio.profile, {"server": server, "models": {"includeTags": ["High"]}})
    studio.wait("cmb/sd15", ".status.skipped[0]", "loras/low")
    bind(studio)
    report(studio, row("high"))
    studio.wait_ready("cmb/sd15")
    studio.create("HardwareProfile", studio.profile, {"server": server, "models": {"includeTags": ["Low"]}})
    studio.wait("cmb/sd15", ".status.skipped[0]", "loras/high")
    wait_reason(studio, "Fetching")


def test_the_sync_may_read_the_secrets_that_bundles_name_as_long_as_they_do(studio: Studio) -> None:
    names = ".rules[?(@.resources[0]=='secrets')].resourceNames"
    create(studio, credentials=[{"secretRef": {"name": "hf", "key": "token"}}])
    wait_sync(studio)
    studio.wait("role/comfyard-sync", f"{names}[0]", "hf")
    change(studio, {"credentials": [{"secretRef": {"name": "aws"}}, {"secretRef": {"name": "hf"}}]})
    studio.wait("role/comfyard-sync", f"{names}[0]", "aws")
    granted = {
        (resource, verb, name)
        for rule in studio.get("role", "comfyard-sync")["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }
    inventory = wait_sync(studio)["metadata"]["name"]
    assert {r for r in granted if r[0] == "secrets"} == {("secrets", "get", "aws"), ("secrets", "get", "hf")}
    assert {r for r in granted if r[0] == "configmaps"} == {("configmaps", v, inventory) for v in ("get", "patch")}
    assert {r for r in granted if r[0] == "events"} == {("events", "create", "")}


def tell(studio: Studio, kind: str, name: str, reason: str, message: str) -> None:
    """What one of Kubernetes' controllers tells of a claim or a Job."""
    uid = studio.get(kind, name)["metadata"]["uid"]
    about = {"kind": kind, "namespace": studio.namespace, "name": name, "uid": uid}
    event = {"reason": reason, "message": message, "type": "Warning", "involvedObject": about, "count": 1}
    event |= {"apiVersion": "v1", "kind": "Event", "metadata": {"name": f"{name}.1"}}
    event |= {"lastTimestamp": "2026-01-02T03:04:05Z", "source": {"component": "a-controller"}}
    studio.kubectl("create", "-f", "-", stdin=yaml.safe_dump(event))


def test_a_claim_that_will_have_no_volume_stalls_its_bundle(studio: Studio) -> None:
    create(studio)
    studio.kubectl("wait", "--for=create", WAIT, f"pvc/{CLAIM}")
    tell(studio, "PersistentVolumeClaim", CLAIM, "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found')
    said = wait_reason(studio, "ClaimUnbindable")
    assert f'{CLAIM} gets no volume: storageclass.storage.k8s.io "fast" not found; correct the claim' in said
    studio.kubectl("wait", "--for=condition=Stalled", WAIT, "cmb/sd15")
    bind(studio)
    wait_reason(studio, "Fetching")


def forbid(studio: Studio, what: str) -> None:
    studio.kubectl("create", "quota", "none", f"--hard={what}=0")
    studio.patch_status("quota", "none", {"hard": {what: "0"}, "used": {what: "0"}})


def test_a_refused_claim_is_told_and_asked_for_again(studio: Studio) -> None:
    forbid(studio, "persistentvolumeclaims")
    create(studio)
    assert "exceeded quota: none" in wait_reason(studio, "ClaimRefused")
    studio.kubectl("wait", "--for=condition=Stalled", WAIT, "cmb/sd15")
    studio.kubectl("delete", "quota", "none")
    wait_reason(studio, "ClaimPending")


def test_a_refused_sync_is_told_and_asked_for_again(studio: Studio) -> None:
    forbid(studio, "count/jobs.batch")
    create(studio)
    bind(studio)
    assert "exceeded quota: none" in wait_reason(studio, "SyncPending")
    studio.kubectl("delete", "quota", "none")
    wait_sync(studio)
    wait_reason(studio, "Fetching")


def test_a_sync_that_gets_no_pod_is_told(studio: Studio) -> None:
    create(studio)
    bind(studio)
    job = wait_sync(studio)["metadata"]["name"]
    tell(studio, "Job", job, "FailedCreate", f'Error creating: pods "{job}-x7k2p" is forbidden: exceeded quota: none')
    said = wait_reason(studio, "SyncPending")
    assert said == f'the store sync does not run: Error creating: pods "{job}" is forbidden: exceeded quota: none'


def test_the_sync_reaches_a_claim_that_files_come_from_once_it_is_there(studio: Studio) -> None:
    create(studio, models=[model(source={"claim": {"name": "old", "path": "a"}})])
    first = wait_sync(studio)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "old"}, "spec": spec}
    studio.kubectl("create", "-f", "-", stdin=yaml.safe_dump(claim))
    bind(studio, "old")
    pod = wait_sync(studio, other_than=first["metadata"]["uid"])["spec"]["template"]["spec"]
    assert {m["mountPath"]: m.get("readOnly") for m in pod["containers"][0]["volumeMounts"]}["/sources/old"] is True


def order_on_server(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")


def test_files_are_held_while_a_job_runs_with_them(studio: Studio) -> None:
    order_on_server(studio)
    assert studio.get("cmb", "sd15")["status"]["inUse"] is False
    change(studio, {"models": [model()]})
    assert observed(studio) == 2
    assert studio.get("cmb", "sd15")["status"]["inUse"] is True
    report(studio, row(state="Pending", reason="InUse", message="jobs run with another file"))
    wait_reason(studio, "InUse")
    assert studio.get("cmb", "sd15")["status"]["inUse"] is True
    studio.complete("a")
    studio.wait("cmb/sd15", ".status.inUse", "false")


def test_a_job_that_is_deleted_holds_nothing_any_more(studio: Studio) -> None:
    order_on_server(studio)
    change(studio, {"models": [model()]})
    studio.wait("cmb/sd15", ".status.inUse", "true")
    studio.kubectl("delete", "cgj", "a")
    studio.wait("cmb/sd15", ".status.inUse", "false")


def test_a_job_waits_for_a_bundle_that_has_changed(studio: Studio) -> None:
    order_on_server(studio)
    studio.complete("a")
    change(studio, {"models": [model()]})
    assert observed(studio) == 2
    studio.order("b")
    studio.wait("cgj/b", f"{READY}.reason", "TemplateNotReady")
    assert studio.get("cmb", "sd15")["status"]["inUse"] is False


def test_servers_have_the_custom_nodes_of_a_jobs_bundles(studio: Studio) -> None:
    studio.prepare()
    change(studio, {"customNodes": [NODE]})
    path = "checkpoints/sd15.safetensors"
    nodes = [{"name": "pack", "state": "Ready", "commit": "c" * 40, "tree": "d" * 40}]
    report(studio, {**row(), "path": path}, customNodes=nodes)
    studio.wait_ready("cmb/sd15")
    studio.order("a")
    pod = studio.get("pod", studio.wait_servers(1)[0].removeprefix("pod/"))
    mounts = next(c["volumeMounts"] for c in pod["spec"]["containers"] if c["name"] == "comfyui")
    paths = {m["subPath"]: m["mountPath"] for m in mounts if "subPath" in m}
    assert paths == {f".comfyard/nodes/{'c' * 40}": "/comfyard/custom_nodes/pack"}


def finalizers(studio: Studio) -> list[str]:
    found: list[str] = studio.get("cmb", "sd15")["metadata"].get("finalizers", [])
    return found


def delete(studio: Studio) -> None:
    studio.kubectl("delete", "cmb", "sd15", "--wait=false")


def wait_gone(studio: Studio) -> None:
    studio.kubectl("wait", "--for=delete", WAIT, "cmb/sd15")


def test_a_bundle_whose_files_go_with_it_goes_after_them(studio: Studio) -> None:
    create(studio, deletionPolicy="Delete")
    report(studio, row())
    studio.wait_ready("cmb/sd15")
    assert finalizers(studio) == ["comfyard.io/store"]
    sync = wait_sync(studio)
    studio.kubectl("delete", "job", sync["metadata"]["name"])
    delete(studio)
    assert "its files are removed from claim" in wait_reason(studio, "Deleting")
    wait_sync(studio, other_than=sync["metadata"]["uid"])
    assert finalizers(studio) == ["comfyard.io/store"]
    report(studio)
    wait_gone(studio)
    studio.kubectl("wait", "--for=delete", WAIT, f"job/{sync['metadata']['name']}")


def test_the_finalizer_follows_the_policy(studio: Studio) -> None:
    create(studio)
    observed(studio)
    assert finalizers(studio) == []
    change(studio, {"deletionPolicy": "Delete"})
    studio.wait("cmb/sd15", ".metadata.finalizers[0]", "comfyard.io/store")
    report(studio, row())
    studio.wait_ready("cmb/sd15")
    delete(studio)
    wait_reason(studio, "Deleting")
    change(studio, {"deletionPolicy": "Retain"})
    wait_gone(studio)


def test_a_bundle_that_never_had_a_file_goes_at_once(studio: Studio) -> None:
    create(studio, deletionPolicy="Delete")
    observed(studio)
    delete(studio)
    wait_gone(studio)


def test_a_bundle_does_not_wait_for_a_claim_that_goes(studio: Studio) -> None:
    create(studio, deletionPolicy="Delete")
    report(studio, row())
    studio.wait_ready("cmb/sd15")
    studio.kubectl("delete", "pvc", CLAIM, "--wait=false")  # its finalizer stays: there is no volume controller
    assert wait_reason(studio, "ClaimTerminating")
    delete(studio)
    wait_gone(studio)


def test_a_bundle_whose_claim_is_gone_has_no_files(studio: Studio) -> None:
    create(studio, deletionPolicy="Delete")
    report(studio, row())
    studio.wait_ready("cmb/sd15")
    delete(studio)
    wait_reason(studio, "Deleting")
    studio.kubectl("patch", "pvc", CLAIM, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    studio.kubectl("delete", "pvc", CLAIM)
    wait_gone(studio)


def test_a_namespace_that_ends_takes_its_bundles_along(studio: Studio) -> None:
    create(studio, deletionPolicy="Delete")
    report(studio, row())
    studio.wait_ready("cmb/sd15")
    studio.kubectl("delete", "namespace", studio.namespace, "--wait=false")
    delete(studio)  # as the namespace controller does
    wait_gone(studio)


@pytest.fixture
def newer_schema(kubectl: Kubectl) -> Iterator[None]:
    """A kind that knows a policy that this operator does not."""
    policy = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/deletionPolicy/enum/-"
    patch = json.dumps([{"op": "add", "path": policy, "value": "Archive"}])
    kubectl("patch", "crd", "modelbundles.comfyard.io", "--type=json", "-p", patch)
    yield
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))


def create_when_taken(studio: Studio) -> None:
    """The API server needs a moment to serve a schema that was changed."""
    deadline = time.monotonic() + SECONDS
    obj = {"apiVersion": "comfyard.io/v1alpha1", "kind": "ModelBundle", "metadata": {"name": "newer"}}
    text = yaml.safe_dump({**obj, "spec": {"models": [model("newer")], "deletionPolicy": "Archive"}})
    while "created" not in studio.kubectl("create", "-f", "-", "--dry-run=server", stdin=text, ok=None):
        assert time.monotonic() < deadline
    studio.kubectl("create", "-f", "-", stdin=text)


@pytest.mark.usefixtures("newer_schema")
def test_what_cannot_be_read_is_left_alone_and_its_neighbours_are_not(studio: Studio) -> None:
    create_when_taken(studio)
    create(studio)
    report(studio, row())
    studio.wait_ready("cmb/sd15")
    untouched = studio.get("cmb", "newer")["status"]
    assert (untouched["observedGeneration"], "conditions" in untouched) == (-1, False)
    studio.kubectl("delete", "cmb", "newer")
