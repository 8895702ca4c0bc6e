"""What the API server takes and refuses, in the words that a person sees."""

from typing import Any

import pytest
import yaml

from comfyard.api.crds import render
from tests.builders import SHA, template_spec
from tests.conftest import ROOT, Kubectl

pytestmark = pytest.mark.api


def manifest(kind: str, spec: dict[str, Any], name: str = "x") -> str:
    return yaml.safe_dump(
        {"apiVersion": "comfyard.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    )


def order(**more: Any) -> dict[str, Any]:
    return {"template": {"name": "t"}, "profiles": ["p"], **more}


def model(**more: Any) -> dict[str, Any]:
    return {"path": "checkpoints/a.safetensors", "source": {"http": {"url": "https://host/a"}}, **more}


S3 = {"bucket": "b", "secretRef": {"name": "keys"}}

REFUSED = [
    ("GenerationJob", order(profiles=[]), "spec.profiles in body should have at least 1 items"),
    ("GenerationJob", {"profiles": ["p"]}, "spec.template: Required value"),
    ("GenerationJob", order(count=0), "spec.count in body should be greater than or equal to 1"),
    ("GenerationJob", order(count=65), "spec.count in body should be less than or equal to 64"),
    ("GenerationJob", order(output={"s3": S3, "claim": {"name": "c"}}), "at most one of s3, claim must be set"),
    ("GenerationJob", order(output={"claim": {"name": "c", "path": "../up"}}), "spec.output.claim.path"),
    ("GenerationJob", order(output={"s3": {**S3, "endpoint": "http://u:p@host"}}), "spec.output.s3.endpoint"),
    ("ModelBundle", {"models": []}, "spec.models in body should have at least 1 items"),
    ("ModelBundle", {"models": [model(path="../../etc/passwd")]}, "spec.models[0].path"),
    ("ModelBundle", {"models": [model(path="checkpoints/.hidden")]}, "spec.models[0].path"),
    ("ModelBundle", {"models": [model(path="/checkpoints/a")]}, "spec.models[0].path"),
    ("ModelBundle", {"models": [model(sha256="ABC")]}, "spec.models[0].sha256"),
    ("ModelBundle", {"models": [model(source={})]}, "exactly one source must be set"),
    (
        "ModelBundle",
        {"models": [model(source={"http": {"url": "http://me:pw@host/a"}})]},
        "spec.models[0].source.http.url",
    ),
    (
        "ModelBundle",
        {"models": [model(source={"http": {"url": "file:///etc/passwd"}})]},
        "spec.models[0].source.http.url",
    ),
    (
        "ModelBundle",
        {"models": [model(source={"http": {"url": "http://host/with\N{NO-BREAK SPACE}space"}})]},
        "spec.models[0].source.http.url",
    ),
    ("ModelBundle", {"models": [model(), model()]}, "Duplicate value"),
    (
        "ModelBundle",
        {"models": [model()], "store": {"claimName": "c", "claimTemplate": {"size": "1Gi"}}},
        "at most one of claimName, claimTemplate must be set",
    ),
    (
        "ModelBundle",
        {"models": [model()], "store": {"claimTemplate": {"size": "big"}}},
        "spec.store.claimTemplate.size",
    ),
    ("HardwareProfile", {}, "spec.server: Required value"),
    ("HardwareProfile", {"server": {"image": ""}}, "spec.server.image in body should be at least 1 chars long"),
    ("HardwareProfile", {"server": {"image": "i"}, "tier": "Huge"}, 'supported values: "High", "Mid", "Low", "Custom"'),
    ("HardwareProfile", {"server": {"image": "i"}, "gpu": {"count": -1}}, "spec.gpu.count"),
    ("HardwareProfile", {"server": {"image": "i"}, "pool": {"maxServers": 0}}, "spec.pool.maxServers"),
    ("WorkflowTemplate", {k: v for k, v in template_spec().items() if k != "graph"}, "spec.graph: Required value"),
    ("WorkflowTemplate", template_spec(outputs=[]), "spec.outputs in body should have at least 1 items"),
    ("WorkflowTemplate", template_spec(parameters=[{"name": "x", "type": "Choice"}]), "a Choice must list its choices"),
    (
        "WorkflowTemplate",
        template_spec(parameters=[{"name": "x", "type": "String", "minimum": 1}]),
        "minimum and maximum are for Integer and Number",
    ),
    ("WorkflowTemplate", template_spec(parameters=[{"name": "a b", "type": "String"}]), "spec.parameters[0].name"),
]

TAKEN = [
    ("GenerationJob", order()),
    ("GenerationJob", order(parameters={"a": 1, "b": 0.5, "c": True, "d": "x", "e": [1]}, count=64, priority=-5)),
    ("GenerationJob", order(output={"s3": S3})),
    ("ModelBundle", {"models": [model(), model(path="loras/sub/b (1).safetensors", sha256=SHA)]}),
    ("ModelBundle", {"models": [model()], "store": {"claimTemplate": {"size": "100Gi"}}}),
    ("HardwareProfile", {"server": {"image": "i", "resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}}),
    ("HardwareProfile", {"server": {"image": "i"}, "placement": {"tolerations": [{"operator": "Exists"}]}}),
    ("WorkflowTemplate", template_spec()),
]


@pytest.mark.parametrize(("kind", "spec", "message"), REFUSED)
def test_refused(kubectl: Kubectl, kind: str, spec: dict[str, Any], message: str) -> None:
    said = kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest(kind, spec), ok=False)
    assert message in said


@pytest.mark.parametrize(("kind", "spec"), TAKEN)
def test_taken(kubectl: Kubectl, kind: str, spec: dict[str, Any]) -> None:
    kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest(kind, spec))


@pytest.mark.parametrize("kind", ["HardwareProfile", "WorkflowTemplate"])
def test_a_name_that_no_label_can_hold_is_refused(kubectl: Kubectl, kind: str) -> None:
    spec = {"server": {"image": "i"}} if kind == "HardwareProfile" else template_spec()
    said = kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest(kind, spec, "n" * 64), ok=False)
    assert f"the name of a {kind} must have at most 63 characters" in said


@pytest.mark.parametrize(
    "change",
    [
        {"template": {"name": "other"}},
        {"profiles": ["p", "q"]},
        {"parameters": {"prompt": "b"}},
        {"parameters": None},
        {"count": 2},
        {"backoffLimit": 0},
        {"output": {"claim": {"name": "c"}}},
    ],
)
def test_an_order_does_not_change(kubectl: Kubectl, namespace: str, change: dict[str, Any]) -> None:
    before = order(parameters={"prompt": "a"})
    kubectl("-n", namespace, "create", "-f", "-", stdin=manifest("GenerationJob", before))
    said = kubectl(
        "-n", namespace, "patch", "cgj", "x", "--type=merge", "-p", yaml.safe_dump({"spec": change}), ok=False
    )
    assert f"{next(iter(change))} is immutable: a job is one order, run once; create another job" in said


@pytest.mark.parametrize("change", [{"suspend": True}, {"priority": 7}])
def test_what_may_change_of_an_order(kubectl: Kubectl, namespace: str, change: dict[str, Any]) -> None:
    kubectl("-n", namespace, "create", "-f", "-", stdin=manifest("GenerationJob", order()))
    kubectl("-n", namespace, "patch", "cgj", "x", "--type=merge", "-p", yaml.safe_dump({"spec": change}))


def conditions(*types: str) -> str:
    return yaml.safe_dump(
        {
            "status": {
                "conditions": [
                    {
                        "type": t,
                        "status": "True",
                        "reason": "R",
                        "message": "",
                        "lastTransitionTime": "2026-01-02T03:04:05Z",
                    }
                    for t in types
                ]
            }
        }
    )


def test_a_finished_job_stays_finished(kubectl: Kubectl, namespace: str) -> None:
    patch = ("-n", namespace, "patch", "cgj", "x", "--subresource=status", "--type=merge", "-p")
    kubectl("-n", namespace, "create", "-f", "-", stdin=manifest("GenerationJob", order()))
    assert "must not both be True" in kubectl(*patch, conditions("Complete", "Failed"), ok=False)
    kubectl(*patch, conditions("Complete"))
    assert "a finished job stays as it is" in kubectl(*patch, conditions("Failed"), ok=False)
    assert "a finished job stays as it is" in kubectl(*patch, conditions("Ready"), ok=False)


def test_nobody_has_looked_yet_is_not_finished(kubectl: Kubectl, namespace: str) -> None:
    kubectl("-n", namespace, "create", "-f", "-", stdin=manifest("GenerationJob", order()))
    assert kubectl("-n", namespace, "get", "cgj", "x", "-o", "jsonpath={.status.observedGeneration}") == "-1"


def test_fields_are_explained(kubectl: Kubectl) -> None:
    said = kubectl("explain", "generationjobs.comfyard.io.spec.count")
    assert "So many images, each with its own seed." in said


@pytest.mark.parametrize("folder", ["crds", "charts/comfyard/files/crds"])
def test_committed_crds_are_those_of_the_models(folder: str) -> None:
    committed = {path.name: path.read_text() for path in (ROOT / folder).glob("*.yaml")}
    assert committed == render(), "run `make crds`"
