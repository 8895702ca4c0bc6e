"""The CustomResourceDefinitions: names, columns and rules here, schemas from the models.

`python -m comfyard.api.crds DIR` writes them; a test compares what is committed with what this module says.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic.alias_generators import to_camel

from comfyard.api.generation_job import GenerationJob
from comfyard.api.generation_sweep import GenerationSweep
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import CATEGORY, GROUP, VERSION, Model
from comfyard.api.model_bundle import ModelBundle, Source
from comfyard.api.schema import structural_schema
from comfyard.api.workflow_template import WorkflowTemplate

_READY = '.status.conditions[?(@.type=="Ready")]'


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False, about: str = "") -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    if about:
        column["description"] = about
    if wide:
        column["priority"] = 1
    return column


_AGE = _column("Age", ".metadata.creationTimestamp", "date")


def _unchanged(name: str, message: str) -> dict[str, str]:
    """A CEL transition rule on the parent: the field, present or not, stays as it was (KEP-2876)."""
    return {
        "rule": f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
        "message": message,
    }


def _at_most_one(*names: str) -> str:
    return f"[{', '.join(f'has(self.{n})' for n in names)}].filter(x, x).size() <= 1"


def _exactly_one(what: str, *names: str) -> dict[str, str]:
    return {
        "rule": f"[{', '.join(f'has(self.{n})' for n in names)}].filter(x, x).size() == 1",
        "message": f"exactly one {what} must be set: {', '.join(names)}",
    }


_SOURCES = tuple(to_camel(name) for name in Source.model_fields)


@dataclass(frozen=True)
class Definition:
    """One kind: its model, and what a CRD says besides the schema.

    Attributes:
        rules: CEL rules by the path of the schema node that they stand on, such as "spec" or "spec.models[]".
        selectable: paths for field selectors (KEP-4358).
        bounded_name: whether the name becomes a label's value.
    """

    model: type[Model]
    plural: str
    short_name: str
    namespaced: bool
    columns: list[dict[str, Any]]
    rules: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    selectable: tuple[str, ...] = ()
    bounded_name: bool = False

    @property
    def kind(self) -> str:
        """The kind's name, which is the model's."""
        return self.model.__name__


_TERMINAL = [
    {
        "rule": "!(self.exists(c, c.type == 'Complete' && c.status == 'True') && "
        "self.exists(c, c.type == 'Failed' && c.status == 'True'))",
        "message": "Complete and Failed must not both be True",
    },
    {
        "rule": "!oldSelf.exists(o, o.type in ['Complete', 'Failed'] && o.status == 'True') || "
        "oldSelf.filter(o, o.type in ['Complete', 'Failed'] && o.status == 'True')"
        ".all(o, self.exists(c, c.type == o.type && c.status == 'True'))",
        "message": "a finished job stays as it is",
    },
]

_ONE_OUTPUT = {"rule": _at_most_one("s3", "claim"), "message": "at most one of s3, claim must be set"}

_ONE_INPUT = _exactly_one("source of the file", "url", "s3", "claim", "job")

_RERUN = "is immutable: a job is one order, run once; create another job to run something else"
_SWEEP_AGAIN = "is immutable: its jobs run once; create another sweep to run something else"

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        model=HardwareProfile,
        plural="hardwareprofiles",
        short_name="chp",
        namespaced=False,
        bounded_name=True,
        columns=[
            _column("Ready", f"{_READY}.status"),
            _column("Tier", ".spec.tier"),
            _column("GPUs", ".spec.gpu.count", "integer", about="GPUs of one server"),
            _column("Memory", ".spec.gpu.memory", wide=True),
            _column("Servers", ".status.servers.total", "integer"),
            _column("Busy", ".status.servers.busy", "integer"),
            _column("Queued", ".status.queued", "integer"),
            _column("Min", ".spec.pool.minServers", "integer", wide=True),
            _column("Max", ".spec.pool.maxServers", "integer", wide=True),
            _column("Image", ".spec.server.image", wide=True),
            _AGE,
            _column("Status", f"{_READY}.message", wide=True),
        ],
        rules={
            "spec.pool": [
                {
                    "rule": "self.minServers <= self.maxServers",
                    "message": "minServers must not be more than maxServers",
                },
            ],
            "spec.namespaces": [
                {
                    "rule": "has(self.selector) == (self.from == 'Selector')",
                    "message": "selector is needed with from: Selector, and only there",
                },
            ],
        },
    ),
    Definition(
        model=ModelBundle,
        plural="modelbundles",
        short_name="cmb",
        namespaced=True,
        columns=[
            _column("Ready", f"{_READY}.status"),
            _column("Files", ".status.files.ready", "integer"),
            _column("Of", ".status.files.total", "integer"),
            _column("Claim", ".status.claimName"),
            _column("Bytes", ".status.bytes.ready", "integer", wide=True),
            _column("Digest", ".status.digest", wide=True),
            _AGE,
            _column("Status", f"{_READY}.message"),
        ],
        rules={
            "spec.store": [
                {
                    "rule": _at_most_one("claimName", "claimTemplate"),
                    "message": "at most one of claimName, claimTemplate must be set",
                },
            ],
            "spec.models[].source": [_exactly_one("source", *_SOURCES)],
            "spec.models[]": [
                {
                    "rule": "!has(self.allowPickle) || !self.allowPickle || has(self.sha256)",
                    "message": "allowPickle needs sha256: somebody must have looked at a file that can run code",
                },
            ],
            "spec": [
                _unchanged("store", "store is immutable: files do not move between claims; create another bundle"),
                {
                    "rule": "has(self.models) && self.models.size() > 0 || "
                    "has(self.customNodes) && self.customNodes.size() > 0",
                    "message": "at least one of models, customNodes must have an entry",
                },
            ],
        },
    ),
    Definition(
        model=WorkflowTemplate,
        plural="workflowtemplates",
        short_name="cwt",
        namespaced=True,
        bounded_name=True,
        columns=[
            _column("Ready", f"{_READY}.status"),
            _column("Title", ".spec.title"),
            _column("Revision", ".status.revision"),
            _AGE,
            _column("Status", f"{_READY}.message"),
        ],
        rules={
            "spec": [_exactly_one("source of the graph", "graph", "graphFrom")],
            "spec.output": [_ONE_OUTPUT],
            "spec.parameters[]": [
                {
                    "rule": "self.type != 'Choice' || (has(self.choices) && self.choices.size() > 0)",
                    "message": "a Choice must list its choices",
                },
                {
                    "rule": "!has(self.minimum) && !has(self.maximum) || self.type in ['Integer', 'Number']",
                    "message": "minimum and maximum are for Integer and Number",
                },
                {"rule": "!has(self.byTier) || self.type == 'Model'", "message": "byTier is for Model"},
            ],
        },
    ),
    Definition(
        model=GenerationJob,
        plural="generationjobs",
        short_name="cgj",
        namespaced=True,
        columns=[
            _column("State", ".status.state"),
            _column("Done", ".status.progress.percent", "integer", about="Percent of the rendering"),
            _column("Count", ".spec.count", "integer"),
            _column("Template", ".spec.template.name"),
            _column("Server", ".status.assignment.server", wide=True),
            _column("Attempts", ".status.attempts[*].outcome", wide=True),
            _AGE,
            _column("Status", ".status.message"),
        ],
        rules={
            "spec": [
                _unchanged("template", f"template {_RERUN}"),
                _unchanged("profiles", f"profiles {_RERUN}"),
                # CEL does not see a key that was renamed in an object of unknown fields. It changes nothing: what is
                # rendered was fixed in status.parameters when the job was accepted.
                _unchanged("parameters", f"parameters {_RERUN}"),
                _unchanged("inputs", f"inputs {_RERUN}"),
                _unchanged("count", f"count {_RERUN}"),
                _unchanged("backoffLimit", f"backoffLimit {_RERUN}"),
                _unchanged("output", f"output {_RERUN}"),
            ],
            "spec.inputs[]": [_ONE_INPUT],
            "spec.output": [_ONE_OUTPUT],
            "status.conditions": _TERMINAL,
        },
        selectable=(".status.assignment.server", ".status.state", ".spec.template.name"),
    ),
    Definition(
        model=GenerationSweep,
        plural="generationsweeps",
        short_name="cgs",
        namespaced=True,
        bounded_name=True,
        columns=[
            _column("State", f"{_READY}.reason"),
            _column("Done", ".status.succeeded", "integer", about="Jobs that are Complete"),
            _column("Of", ".status.total", "integer"),
            _column("Active", ".status.active", "integer", about="Jobs that are there and not finished"),
            _column("Failed", ".status.failed", "integer"),
            _column("Template", ".spec.jobTemplate.spec.template.name", wide=True),
            _AGE,
            _column("Status", ".status.message"),
        ],
        rules={
            "spec": [
                _exactly_one("list of parameter sets", "matrix", "sets"),
                _unchanged("jobTemplate", f"jobTemplate {_SWEEP_AGAIN}"),
                # As with a job's parameters, a key of unknown fields that was renamed is not seen: status.digest tells.
                _unchanged("matrix", f"matrix {_SWEEP_AGAIN}"),
                _unchanged("sets", f"sets {_SWEEP_AGAIN}"),
            ],
            "spec.jobTemplate.spec.inputs[]": [_ONE_INPUT],
            "spec.jobTemplate.spec.output": [_ONE_OUTPUT],
            "status.conditions": _TERMINAL,
        },
    ),
)


def _bounded_name(kind: str) -> dict[str, str]:
    """The name is a label's value on what is made for it."""
    return {
        "rule": "self.metadata.name.size() <= 63",
        "message": f"the name of a {kind} must have at most 63 characters",
    }


def _place(schema: dict[str, Any], path: str, rules: list[dict[str, str]]) -> None:
    node = schema
    for part in filter(None, path.split(".")):
        node = node["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            node = node["items"]
    node["x-kubernetes-validations"] = rules


def build_crd(definition: Definition) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind, as `kubectl apply` takes it."""
    schema = structural_schema(definition.model)
    schema["properties"]["apiVersion"] = {"type": "string"}
    schema["properties"]["kind"] = {"type": "string"}
    schema["properties"]["metadata"] = {"type": "object"}
    schema["required"] = ["spec"]
    # kstatus takes an object without any status for finished; -1 never equals a generation.
    schema["properties"]["status"]["default"] = {"observedGeneration": -1}
    for path, rules in definition.rules.items():
        _place(schema, path, rules)
    if definition.bounded_name:
        _place(schema, "", [_bounded_name(definition.kind)])
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": definition.columns,
        "schema": {"openAPIV3Schema": schema},
    }
    if definition.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in definition.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{definition.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if definition.namespaced else "Cluster",
            "names": {
                "kind": definition.kind,
                "listKind": f"{definition.kind}List",
                "plural": definition.plural,
                "singular": definition.kind.lower(),
                "shortNames": [definition.short_name],
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def render() -> dict[str, str]:
    """File name to YAML, for all kinds."""
    head = "# Generated from operator/comfyard/api by `make crds`; do not edit.\n"
    return {
        f"{d.plural}.{GROUP}.yaml": head + yaml.safe_dump(build_crd(d), sort_keys=False, width=1000)
        for d in DEFINITIONS
    }


def main(directory: str) -> None:
    """Write all CRDs to a directory."""
    for name, text in render().items():
        (Path(directory) / name).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
