from typing import Any

import pytest

from comfyard.api.conditions import find
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller import node_knowledge, templates
from comfyard.controller.node_knowledge import View, care, judge, views, why_not
from comfyard.controller.resources.node_report import (
    ENVIRONMENT,
    REPORT_LABELS,
    Package,
    build_report,
    report_name,
    reporting_pod,
    server_key,
)
from comfyard.kube.kinds import Obj
from comfyard.workflow.findings import Finding, error, warning
from comfyard.workflow.object_info import Knowledge, core
from tests.builders import NOW, bundle, graph, job, profile, template
from tests.unit.controller.planning import observed, plan, reason

PACK = ("pack", "c" * 40)
CORE = core().classes


def on(name: str, image: str = "comfyui:1", **server: Any) -> HardwareProfile:
    return profile(name, server={"image": image, **server})


def told(*names: str) -> Knowledge:
    """A server with these classes, and no others."""
    return Knowledge(dict.fromkeys(names, CORE["KSampler"]), complete=True)


def nodes(name: str = "pack", commit: str = "c" * 40) -> list[dict[str, Any]]:
    return [{"name": name, "git": {"url": "https://host/pack", "commit": commit}}]


def test_what_does_not_change_the_classes_does_not_change_the_report() -> None:
    names = {report_name(on("a", startupSeconds=seconds), [PACK]) for seconds in (1, 600)}
    assert names == {report_name(on("b", imagePullPolicy="Always"), {PACK})}


@pytest.mark.parametrize("server", [{"image": "comfyui:2"}, {"image": "comfyui:1", "args": ["--disable-api-nodes"]}])
def test_another_image_and_other_arguments_are_another_kind_of_server(server: dict[str, Any]) -> None:
    assert report_name(profile(server=server), []) != report_name(on("a"), [])


def test_a_report_says_what_it_is_about() -> None:
    made = build_report("studio", on("a"), [PACK])
    assert made["metadata"]["labels"] == REPORT_LABELS
    assert made["data"] == {
        "image": "comfyui:1",
        "server": server_key(on("a")),
        "customNodes": f'[["pack","{"c" * 40}"]]',
    }


def test_without_profiles_a_template_is_seen_as_comfyui_itself_would() -> None:
    assert views({}, [], {}) == [View((), core())]


def test_profiles_whose_servers_have_told_the_same_are_one_view() -> None:
    knowledge = told("KSampler")
    seen = views({"a": on("a"), "b": on("b")}, [], {report_name(on("a"), []): knowledge})
    assert seen == [View(("a", "b"), knowledge, (report_name(on("a"), []),))]


def test_a_profile_that_has_told_nothing_is_seen_by_what_others_told_and_is_not_sure() -> None:
    known = told("FromTheirPackage")
    seen = views({"a": on("a"), "b": on("b", "other:1")}, [], {report_name(on("a"), []): known})
    assert [view.profiles for view in seen] == [("a",), ("b",)]
    assert seen[1].knowledge.find("FromTheirPackage")
    assert seen[1].knowledge.find("SaveImage")
    assert not seen[1].knowledge.complete


def test_what_servers_with_other_custom_nodes_told_is_not_about_this_template() -> None:
    seen = views({"a": on("a")}, [PACK], {report_name(on("a"), []): told("KSampler")})
    assert seen == [View(("a",), core())]


@pytest.mark.parametrize(
    ("image", "policy", "moves"),
    [
        ("comfyui:1", None, False),
        ("comfyui:latest", None, True),
        ("registry:5000/comfyui", None, True),
        ("registry:5000/comfyui:1", None, False),
        ("comfyui:1", "Always", True),
        (f"comfyui@sha256:{'a' * 64}", "Always", False),
        (f"comfyui:latest@sha256:{'a' * 64}", None, False),
    ],
)
def test_of_an_image_that_is_pulled_anew_nobody_knows_what_it_lacks(
    image: str,
    policy: str | None,
    moves: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    one = on("a", image, **({"imagePullPolicy": policy} if policy else {}))
    [view] = views({"a": one}, [], {report_name(one, []): told("KSampler")})
    assert view.knowledge.complete is not moves


def stuck(*seen: View) -> tuple[str, str] | None:
    """Reason and message of a template that needs the class Theirs, if it stalls."""
    own = {"1": {"class_type": "Theirs", "inputs": {}}}
    spec = {"graph": own, "parameters": [], "outputs": [{"name": "image", "node": "1"}], "bundles": []}
    result = templates.plan(template({"observedGeneration": -1}, **spec), {}, {}, [], NOW, seen)
    stalled = find(template(status=result.status).status.conditions, "Stalled")
    return (stalled.reason, stalled.message) if stalled and stalled.status == "True" else None


def test_a_class_that_no_profile_has_is_an_error() -> None:
    found = stuck(View(("a",), told("X"), ("r-a",)), View(("b",), told("Y"), ("r-b",)))
    assert found
    assert found[0] == "NodeClassUnknown"
    assert "node 1: no server has the class Theirs" in found[1]
    assert found[1].endswith("ConfigMap r-a, r-b: delete it if an image was changed under its tag")


def test_a_class_that_one_profile_has_is_no_error() -> None:
    assert stuck(View(("a",), told("X")), View(("b",), told("Theirs"))) is None


def test_a_class_is_no_error_while_a_profile_is_not_known() -> None:
    profiles = {"a": on("a"), "b": on("b", "other:1")}
    assert stuck(*views(profiles, [], {report_name(on("a"), []): told("X")})) is None


def test_what_is_wrong_on_one_profile_only_is_a_warning_that_names_it() -> None:
    def check(knowledge: Knowledge) -> list[Finding]:
        every = [error(("spec", "a"), "e"), warning(("spec", "a"), "w")]
        return [*every, *([error(("spec", "b"), "no X")] if knowledge.find("X") is None else [])]

    found = judge([View(("a", "b"), told("X")), View(("c",), told("Y"))], check)
    assert found == [
        error(("spec", "a"), "e"),
        warning(("spec", "a"), "w"),
        warning(("spec", "b"), "on profile c: no X"),
    ]


def test_a_job_is_told_which_image_lacks_which_class() -> None:
    report = report_name(on("a"), [])
    lacking = Knowledge({n: c for n, c in CORE.items() if n != "VAEDecode"}, complete=True)
    said = why_not(template().spec, on("a"), [], {report: lacking})
    assert said
    assert said.startswith(
        "profile a: image comfyui:1 with the custom nodes of the template's bundles has no node class"
    )
    assert "class VAEDecode; order with another profile" in said
    assert said.endswith(f"delete ConfigMap {report}")


def test_a_job_that_no_server_of_its_profile_can_render_fails_before_there_is_one() -> None:
    lacking = Knowledge({n: c for n, c in CORE.items() if n != "VAEDecode"}, complete=True)
    result = plan(job(), observed(template=template(), node_reports={report_name(profile(), []): lacking}))
    assert result.demand is None
    assert (result.status["state"], reason(result)) == ("Failed", "Invalid")
    assert "has no node class VAEDecode" in result.status["message"]


def test_a_job_is_not_kept_from_servers_that_may_have_the_class() -> None:
    spec, report = template().spec, report_name(on("a"), [])
    assert why_not(spec, on("a"), [], {}) is None
    assert why_not(spec, on("a"), [], {report: Knowledge(CORE, complete=True)}) is None
    assert why_not(spec, on("a"), [], {report: Knowledge({}, complete=False)}) is None


def test_a_node_that_is_not_rendered_may_be_of_any_class() -> None:
    spec = template(graph={**graph(), "99": {"class_type": "Nowhere", "inputs": {}}}).spec
    assert why_not(spec, on("a"), [], {report_name(on("a"), []): Knowledge(CORE, complete=True)}) is None


def report(profile_: HardwareProfile, *packages: Package) -> Obj:
    return build_report("studio", profile_, packages)


def test_reports_stay_while_there_may_be_such_servers() -> None:
    there = {"studio": node_knowledge.packages([bundle(customNodes=nodes())])}
    assert care([report(on("a")), report(on("a"), PACK)], [on("a")], there, []) == []


def test_reports_go_with_the_last_profile_that_has_the_image() -> None:
    [done] = care([report(on("a"))], [on("a", "comfyui:2")], {}, [])
    assert done.delete


def test_reports_go_with_the_last_bundle_that_has_the_custom_nodes() -> None:
    there = {"studio": node_knowledge.packages([bundle(customNodes=nodes(commit="d" * 40))]), "other": {PACK}}
    [done] = care([report(on("a"), PACK)], [on("a")], there, [])
    assert done.delete


def test_a_report_that_somebody_has_made_unreadable_goes() -> None:
    broken = report(on("a")) | {"data": {"server": server_key(on("a")), "customNodes": "[1]"}}
    [done] = care([broken], [on("a")], {}, [])
    assert done.delete


def server_pod(name: str, created: str, image_id: str | None, told_in: str, namespace: str = "studio") -> Obj:
    statuses = [{"name": "comfyui", "imageID": image_id}] if image_id else []
    agent = {"name": "agent", "env": [{"name": ENVIRONMENT, "value": told_in}]}
    return {
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
        "spec": {"containers": [{"name": "comfyui"}, agent]},
        "status": {"containerStatuses": statuses},
    }


def test_a_report_gets_the_digest_of_the_image_of_the_youngest_pod() -> None:
    own = report(on("a"))
    name = own["metadata"]["name"]
    pods = [
        server_pod("young", "2026-01-02T03:04:06Z", "comfyui@sha256:b", name),
        server_pod("old", "2026-01-02T03:04:05Z", "comfyui@sha256:a", name),
        server_pod("starting", "2026-01-02T03:04:07Z", None, name),
        server_pod("elsewhere", "2026-01-02T03:04:08Z", "comfyui@sha256:c", name, "other"),
    ]
    [done] = care([own], [on("a")], {}, pods)
    assert done.patch == {"data": {"imageDigest": "comfyui@sha256:b"}}
    has_it = own | {"data": own["data"] | {"imageDigest": "comfyui@sha256:b"}}
    assert care([has_it], [on("a")], {}, pods) == []


def test_a_pod_without_agent_tells_of_no_report() -> None:
    assert reporting_pod({"spec": {"containers": [{"name": "comfyui"}]}}) is None
