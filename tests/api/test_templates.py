"""Templates seen through the API server: graphs in ConfigMaps, old contents, what servers tell of their nodes."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import yaml

from comfyard.controller.revisions import KEPT
from comfyard.workflow.reported_nodes import KEY, pack
from tests.api.conftest import WAIT, Studio
from tests.builders import graph, template_spec
from tests.unit.comfysim.harness import running

pytestmark = pytest.mark.api

FROM = {"configMapKeyRef": {"name": "graphs", "key": "graph.json"}}
READY = ".status.conditions[?(@.type=='Ready')]"
TEMPLATE = "cwt/text-to-image"
THEIRS = {"input": {"required": {"image": ["IMAGE"]}}, "output": ["IMAGE"], "output_node": False}


def create_from(studio: Studio, source: dict[str, Any]) -> None:
    spec = {key: value for key, value in template_spec().items() if key != "graph"}
    studio.create("WorkflowTemplate", "text-to-image", {**spec, "graphFrom": source})


def keep_graph(studio: Studio, text: str, name: str = "graphs") -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"graph.json": text}}
    studio.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(obj))


def revisions(studio: Studio) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(studio.kubectl("get", "controllerrevisions", "-o", "json"))["items"]
    return found


def reports(studio: Studio) -> list[dict[str, Any]]:
    """The ConfigMaps in which servers of the namespace tell their node classes."""
    label = "app.kubernetes.io/component=nodes"
    found: list[dict[str, Any]] = json.loads(studio.kubectl("get", "configmaps", "-l", label, "-o", "json"))["items"]
    return found


@pytest.fixture(scope="module")
def object_info(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a server with ComfyUI's own classes tells."""
    with running(tmp_path_factory.mktemp("comfyui")) as sim:
        yield httpx2.get(f"{sim.url}/object_info", trust_env=False).json()


@pytest.fixture
def server(studio: Studio) -> Studio:
    """A namespace where a job waits for the first server, whose image is that of all profiles there are."""
    studio.kubectl("delete", "chp", "--all")
    studio.prepare()
    studio.order("first")
    studio.wait_servers(1)
    return studio


def tell(studio: Studio, info: dict[str, Any]) -> None:
    """What the agent writes once its ComfyUI has started."""
    [report] = reports(studio)
    patch = json.dumps({"binaryData": {KEY: base64.b64encode(pack(info)).decode()}})
    studio.kubectl("patch", "configmap", report["metadata"]["name"], "--type=merge", "-p", patch)


def with_theirs() -> dict[str, Any]:
    nodes = graph()
    nodes["20"] = {"class_type": "Theirs", "inputs": {"image": ["8", 0]}}
    nodes["9"]["inputs"]["images"] = ["20", 0]
    return nodes


def test_a_graph_that_comes_later_is_waited_for_and_then_kept(studio: Studio) -> None:
    studio.create_profile()
    studio.create_bundle()
    studio.sync_bundle()
    create_from(studio, FROM)
    studio.wait(TEMPLATE, f"{READY}.reason", "GraphNotFound")
    keep_graph(studio, json.dumps(graph()))
    studio.wait_ready(TEMPLATE)
    [revision] = revisions(studio)
    assert revision["data"]["spec"]["graph"] == graph()
    assert "graphFrom" not in revision["data"]["spec"]


def test_jobs_run_what_was_accepted_when_the_config_map_is_gone(studio: Studio) -> None:
    keep_graph(studio, json.dumps(graph()))
    studio.create_profile()
    studio.create_bundle()
    studio.sync_bundle()
    create_from(studio, FROM)
    studio.wait_ready("cmb/sd15")
    studio.wait_ready(TEMPLATE)
    studio.kubectl("delete", "configmap", "graphs")
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")
    [revision] = revisions(studio)
    assert studio.status("a")["template"]["revision"] == revision["metadata"]["name"]


def test_a_graph_that_is_none_stalls_the_template_until_it_names_another(studio: Studio) -> None:
    keep_graph(studio, "graph: {}")
    studio.create_bundle()
    create_from(studio, FROM)
    studio.kubectl("wait", "--for=condition=Stalled", WAIT, TEMPLATE)
    assert "is not JSON" in studio.kubectl("describe", TEMPLATE)
    keep_graph(studio, json.dumps(graph()), "others")
    other = {"configMapKeyRef": {"name": "others", "key": "graph.json"}}
    studio.kubectl("patch", TEMPLATE, "--type=merge", "-p", json.dumps({"spec": {"graphFrom": other}}))
    studio.wait_ready(TEMPLATE)


def test_old_contents_go_but_those_that_jobs_wait_for(studio: Studio) -> None:
    studio.prepare(max_servers=1)
    studio.order("a")
    studio.wait("cgj/a", ".status.state", "Queued")
    needed = studio.status("a")["template"]["revision"]
    for number in range(KEPT + 3):
        studio.kubectl("patch", TEMPLATE, "--type=merge", "-p", json.dumps({"spec": {"title": f"{number}"}}))
        studio.wait(TEMPLATE, ".status.observedGeneration", str(number + 2))
    studio.until(lambda: len(revisions(studio)) == KEPT + 2, "controllerrevisions")
    names = {revision["metadata"]["name"] for revision in revisions(studio)}
    current = studio.get("cwt", "text-to-image")["status"]["revision"]
    assert {needed, current} < names
    studio.kubectl("delete", TEMPLATE)
    studio.until(lambda: [each["metadata"]["name"] for each in revisions(studio)] == [needed], "controllerrevisions")
    studio.kubectl("delete", "cgj/a")
    studio.until(lambda: revisions(studio) == [], "controllerrevisions")


def test_a_server_may_write_its_report_and_no_other(server: Studio) -> None:
    [report] = reports(server)
    agent = f"--as=system:serviceaccount:{server.namespace}:comfyard-agent"
    own = server.kubectl("auth", "can-i", "patch", f"configmap/{report['metadata']['name']}", agent, ok=None)
    other = server.kubectl("auth", "can-i", "get", "configmap/kube-root-ca.crt", agent, ok=None)
    assert (own.strip(), other.strip()) == ("yes", "no")
    assert report["data"]["image"] == "comfyui:1"


def test_a_class_is_unknown_then_absent_then_there(server: Studio, object_info: dict[str, Any]) -> None:
    server.create("WorkflowTemplate", "theirs", template_spec(graph=with_theirs()))
    server.kubectl("wait", "--for=condition=Warnings", WAIT, "cwt/theirs")
    server.wait_ready("cwt/theirs")
    tell(server, object_info)
    server.wait("cwt/theirs", f"{READY}.reason", "NodeClassUnknown")
    assert "no server has the class Theirs" in server.kubectl("describe", "cwt/theirs")
    tell(server, {**object_info, "Theirs": THEIRS})
    server.wait_ready("cwt/theirs")
    server.wait("cwt/theirs", ".status.conditions[?(@.type=='Warnings')].status", "False")


def test_a_job_that_its_image_cannot_render_fails_before_there_is_a_server(
    server: Studio, object_info: dict[str, Any]
) -> None:
    """Another profile's servers have not told yet, so that the template is accepted with a warning."""
    tell(server, object_info)
    server.create("HardwareProfile", f"other-{server.namespace}", {"server": {"image": "comfyui:2"}})
    server.create("WorkflowTemplate", "theirs", template_spec(graph=with_theirs()))
    server.wait_ready("cwt/theirs")
    server.order("a", template={"name": "theirs"})
    server.kubectl("wait", "--for=condition=Failed", WAIT, "cgj/a")
    said = server.status("a")["message"]
    assert f"profile {server.profile}: image comfyui:1 with the custom nodes" in said
    assert "has no node class Theirs; order with another profile" in said
    assert "assignment" not in server.status("a")
    assert len(server.servers()) == 1


def test_a_report_tells_the_digest_of_its_image(server: Studio, object_info: dict[str, Any]) -> None:
    digest = f"comfyui@sha256:{'a' * 64}"
    [pod] = server.servers()
    status = {"name": "comfyui", "image": "comfyui:1", "imageID": digest, "ready": True, "restartCount": 0}
    server.patch_status("pod", pod.removeprefix("pod/"), {"containerStatuses": [status]})
    tell(server, object_info)
    server.until(lambda: reports(server)[0]["data"].get("imageDigest") == digest, "configmaps")
    assert KEY in reports(server)[0]["binaryData"]


def test_a_report_goes_when_no_profile_has_its_image_any_more(server: Studio) -> None:
    """And the job that waits gets a server of the other image, which has a report of its own."""
    assert [report["data"]["image"] for report in reports(server)] == ["comfyui:1"]
    patch = json.dumps({"spec": {"server": {"image": "comfyui:2"}}})
    server.kubectl("patch", "chp", server.profile, "--type=merge", "-p", patch)
    server.until(lambda: [report["data"]["image"] for report in reports(server)] == ["comfyui:2"], "configmaps")
