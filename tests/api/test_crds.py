"""What the API server takes and refuses, in the words that a person sees."""

from typing import Any

import pytest
import yaml

from comfyard.api.crds import DEFINITIONS, render
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

COMMIT = "c" * 40
NODE = {"name": "pack", "git": {"url": "https://host/pack.git", "commit": COMMIT}}

SOURCES: list[dict[str, Any]] = [
    {"huggingFace": {"repo": "org/model", "file": "unet/model (1).safetensors"}},
    {"huggingFace": {"repo": "org/model", "file": "m", "revision": COMMIT, "endpoint": "https://mirror.local/hf"}},
    {"civitai": {"modelVersionId": 128713}},
    {"civitai": {"modelVersionId": 128713, "file": "a b.safetensors", "endpoint": "https://civitai.red"}},
    {"http": {"url": "https://host:8443/a?b=c"}},
    {"s3": {"bucket": "models", "key": "sdxl/a.safetensors"}},
    {"s3": {"bucket": "models", "key": "a", "endpoint": "http://seaweedfs:8333", "region": "eu-west-1"}},
    {"oci": {"image": "registry.local:5000/models/sdxl:v1"}},
    {"oci": {"image": f"registry.local/models/sdxl@sha256:{SHA}", "path": "a.safetensors", "insecure": True}},
    {"git": {"url": "https://host/repo.git", "commit": COMMIT, "path": "a.safetensors"}},
    {"claim": {"name": "old-models", "path": "checkpoints/a.safetensors"}},
    {"existing": {}},
]

WRONG_SOURCES: list[tuple[dict[str, Any], str]] = [
    ({}, "exactly one source must be set: huggingFace, civitai, http, s3, oci, git, claim, existing"),
    ({"existing": {}, "http": {"url": "https://host/a"}}, "exactly one source must be set: huggingFace, civitai"),
    ({"ftp": {"url": "ftp://host/a"}}, 'unknown field "spec.models[0].source.ftp"'),
    ({"huggingFace": {"repo": "model", "file": "a"}}, "source.huggingFace.repo"),
    ({"huggingFace": {"repo": "org/model"}}, "source.huggingFace.file: Required value"),
    ({"huggingFace": {"repo": "org/model", "file": "/etc/passwd"}}, "source.huggingFace.file"),
    ({"huggingFace": {"repo": "org/model", "file": "a", "endpoint": "https://me:pw@mirror"}}, "huggingFace.endpoint"),
    ({"civitai": {"modelVersionId": 0}}, "source.civitai.modelVersionId"),
    ({"civitai": {"modelVersionId": 1, "endpoint": "https://civitai.com/api"}}, "source.civitai.endpoint"),
    ({"http": {"url": "http://me:pw@host/a"}}, "source.http.url"),
    ({"http": {"url": "file:///etc/passwd"}}, "source.http.url"),
    ({"http": {"url": "http://host/with\N{NO-BREAK SPACE}space"}}, "source.http.url"),
    ({"s3": {"bucket": "Models", "key": "a"}}, "source.s3.bucket"),
    ({"s3": {"bucket": "models"}}, "source.s3.key: Required value"),
    ({"s3": {"bucket": "models", "key": "a", "endpoint": "http://u:p@host"}}, "source.s3.endpoint"),
    ({"oci": {"image": "registry/a b"}}, "source.oci.image"),
    ({"git": {"url": "https://host/r", "commit": "main", "path": "a"}}, "source.git.commit"),
    ({"git": {"url": "git@host:r", "commit": COMMIT, "path": "a"}}, "source.git.url"),
    ({"claim": {"name": "Old_Models", "path": "a"}}, "source.claim.name"),
    ({"claim": {"name": "old-models"}}, "source.claim.path: Required value"),
]

REFUSED = [
    ("GenerationJob", order(profiles=[]), "spec.profiles in body should have at least 1 items"),
    ("GenerationJob", {"profiles": ["p"]}, "spec.template: Required value"),
    ("GenerationJob", order(count=0), "spec.count in body should be greater than or equal to 1"),
    ("GenerationJob", order(count=65), "spec.count in body should be less than or equal to 64"),
    ("GenerationJob", order(output={"s3": S3, "claim": {"name": "c"}}), "at most one of s3, claim must be set"),
    ("GenerationJob", order(output={"claim": {"name": "c", "path": "../up"}}), "spec.output.claim.path"),
    ("GenerationJob", order(output={"s3": {**S3, "endpoint": "http://u:p@host"}}), "spec.output.s3.endpoint"),
    ("ModelBundle", {"models": []}, "at least one of models, customNodes must have an entry"),
    ("ModelBundle", {}, "at least one of models, customNodes must have an entry"),
    ("ModelBundle", {"models": [model(path="../../etc/passwd")]}, "spec.models[0].path"),
    ("ModelBundle", {"models": [model(path="checkpoints/.hidden")]}, "spec.models[0].path"),
    ("ModelBundle", {"models": [model(path="/checkpoints/a")]}, "spec.models[0].path"),
    ("ModelBundle", {"models": [model(sha256="ABC")]}, "spec.models[0].sha256"),
    *(("ModelBundle", {"models": [model(source=source)]}, message) for source, message in WRONG_SOURCES),
    ("ModelBundle", {"models": [model(allowPickle=True)]}, "allowPickle needs sha256: somebody must have looked"),
    ("ModelBundle", {"models": [model(tags=["not a tag"])]}, "spec.models[0].tags[0]"),
    ("ModelBundle", {"models": [model(tags=["High", "High"])]}, "spec.models[0].tags[1]: Duplicate value"),
    ("ModelBundle", {"customNodes": [{"name": "../up", "git": NODE["git"]}]}, "spec.customNodes[0].name"),
    ("ModelBundle", {"customNodes": [NODE, NODE]}, "spec.customNodes[1]: Duplicate value"),
    ("ModelBundle", {"customNodes": [{"name": "a", "git": {"url": "https://h/r", "commit": "v1"}}]}, "git.commit"),
    ("ModelBundle", {"models": [model()], "credentials": [{"secretRef": {}}]}, "secretRef.name: Required value"),
    ("ModelBundle", {"models": [model()], "deletionPolicy": "Keep"}, 'supported values: "Retain", "Delete"'),
    ("ModelBundle", {"models": [model()], "verifyEverySeconds": -1}, "spec.verifyEverySeconds"),
    ("HardwareProfile", {"server": {"image": "i"}, "models": {"includeTags": [""]}}, "spec.models.includeTags[0]"),
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
    ("WorkflowTemplate", {k: v for k, v in template_spec().items() if k != "graph"}, "exactly one source of the graph"),
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
    *(("ModelBundle", {"models": [model(source=source)]}) for source in SOURCES),
    ("ModelBundle", {"customNodes": [NODE]}),
    (
        "ModelBundle",
        {
            "models": [model(path="checkpoints/a.ckpt", allowPickle=True, sha256=SHA, tags=["High", "fp16"])],
            "customNodes": [NODE],
            "profiles": ["l4"],
            "credentials": [{"secretRef": {"name": "hf", "key": "token"}}, {"secretRef": {"name": "aws"}}],
            "suspend": True,
            "deletionPolicy": "Delete",
            "verifyEverySeconds": 0,
        },
    ),
    ("HardwareProfile", {"server": {"image": "i"}, "models": {"includeTags": ["Mid"], "excludeTags": ["fp8"]}}),
    ("HardwareProfile", {"server": {"image": "i", "resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}}),
    ("HardwareProfile", {"server": {"image": "i"}, "placement": {"tolerations": [{"operator": "Exists"}]}}),
    ("WorkflowTemplate", template_spec()),
]


@pytest.mark.parametrize(("kind", "spec", "message"), REFUSED)
def test_refused(kubectl: Kubectl, kind: str, spec: dict[str, Any], message: str) -> None:
    said = kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest(kind, spec), ok=False)
    assert message in said


@pytest.mark.parametrize(("kind", "spec"), TAKEN)
def test_what_is_taken_can_be_read(kubectl: Kubectl, kind: str, spec: dict[str, Any]) -> None:
    taken = kubectl("create", "--dry-run=server", "-o", "yaml", "-f", "-", stdin=manifest(kind, spec))
    next(d.model for d in DEFINITIONS if d.kind == kind).model_validate(yaml.safe_load(taken))


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
