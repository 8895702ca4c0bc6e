"""Every example is taken by the API server as it stands, and its template has nothing to be told about."""

import json

import pytest
import yaml

from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate
from comfyard.workflow.models import model_paths
from comfyard.workflow.parameters import resolve
from comfyard.workflow.templates import check_template
from tests.conftest import ROOT, Kubectl

pytestmark = pytest.mark.api

EXAMPLES = [*sorted((ROOT / "examples").rglob("*.yaml")), ROOT / "hack" / "demo" / "second-job.json"]
QUICKSTART = {
    obj["kind"]: obj
    for path in (ROOT / "examples" / "quickstart").glob("*.yaml")
    for obj in yaml.safe_load_all(path.read_text())
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_api_server_takes_it(kubectl: Kubectl, path: str) -> None:
    kubectl("create", "--dry-run=server", "--validate=strict", "-f", str(path))


@pytest.mark.parametrize("mode", [["--server-side=false"], ["--server-side"]], ids=" ".join)
def test_what_was_applied_does_not_differ_from_what_is_there(kubectl: Kubectl, namespace: str, mode: list[str]) -> None:
    """Or Git tools would apply it for ever: the API server's defaults are no difference."""
    files = [argument for path in EXAMPLES for argument in ("-f", str(path))]
    kubectl("-n", namespace, "apply", *mode, *files)
    try:
        assert kubectl("-n", namespace, "diff", *mode, *files) == ""
    finally:
        kubectl("-n", namespace, "delete", *files)


def test_the_quickstart_fits_together() -> None:
    template = WorkflowTemplate.model_validate(QUICKSTART["WorkflowTemplate"])
    bundle = ModelBundle.model_validate(QUICKSTART["ModelBundle"])
    assert check_template(template.spec) == []
    assert model_paths(template.spec) == [model.path for model in bundle.spec.models]
    second = json.loads((ROOT / "hack" / "demo" / "second-job.json").read_text())
    for job in (QUICKSTART["GenerationJob"], second):
        assert resolve(template.spec, job["spec"]["parameters"])[1] == []
        assert job["spec"]["profiles"] == [QUICKSTART["HardwareProfile"]["metadata"]["name"]]
