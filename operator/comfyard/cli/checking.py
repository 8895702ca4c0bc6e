"""What a set of manifests says of itself and of each other: the operator's own checks, without a cluster."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from comfyard.api.generation_job import GenerationJob, GenerationJobSpec
from comfyard.api.generation_sweep import MAX_JOBS, GenerationSweep
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.meta import API_VERSION, GROUP, Model
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.cli.manifests import Document
from comfyard.cli.schemas import KINDS, check_schema
from comfyard.cli.session import UsageError
from comfyard.controller.graph_source import NoGraph, read_graph
from comfyard.workflow.checks.models import check_provided, model_value_problems
from comfyard.workflow.findings import Finding, Place, alike, error, listed, warning
from comfyard.workflow.graph import is_editors_format
from comfyard.workflow.object_info import Knowledge
from comfyard.workflow.parameters import Values, check_inputs, tier_problems
from comfyard.workflow.sweeps import check_sets, total_of
from comfyard.workflow.templates import check_bare_graph, check_template

_CONFIG_MAP = "ConfigMap"
_MODELS: Mapping[str, type[Model]] = {
    each.__name__: each for each in (HardwareProfile, ModelBundle, WorkflowTemplate, GenerationJob, GenerationSweep)
}
AnyModel = TypeVar("AnyModel", bound=Model)


@dataclass(frozen=True)
class Resource:
    """A manifest of a kind of ours whose fields are right, or a ConfigMap."""

    document: Document
    kind: str
    name: str
    namespace: str
    model: Model | None


def flatten(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents, those in lists of kind List each by itself."""
    for document in documents:
        value = document.value
        if isinstance(value, dict) and value.get("kind") == "List" and isinstance(value.get("items"), list):
            for index, item in enumerate(value["items"]):
                prefix: Place = ("items", index)
                below = {place[2:]: line for place, line in document.lines.items() if place[:2] == prefix}
                yield Document(document.file, item, below)
        else:
            yield document


def is_graph(document: Document) -> bool:
    """Whether it is a graph by itself, in the API's format or in the editor's."""
    value = document.value
    if not isinstance(value, dict) or "kind" in value or "apiVersion" in value:
        return False
    nodes = [each for each in value.values() if isinstance(each, dict)]
    return is_editors_format(value) or (bool(nodes) and any("class_type" in node for node in nodes))


def is_ours(document: Document) -> bool:
    """Whether it is a manifest of one of our kinds, in any version."""
    value = document.value
    return isinstance(value, dict) and str(value.get("apiVersion", "")).partition("/")[0] == GROUP


class Checker:
    """All manifests of one run, by what they name each other by.

    Args:
        documents: All of them.
        knowledge: Of node classes.
    """

    def __init__(self, documents: Iterable[Document], knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._resources: list[Resource] = []
        self._findings: list[tuple[Document, Finding]] = []
        self._sound: dict[int, WorkflowTemplateSpec | None] = {}
        for document in flatten(documents):
            self._add(document)

    def run(self) -> list[tuple[Document, Finding]]:
        """What is wrong with all of them."""
        for resource in self._resources:
            self._findings += [(resource.document, each) for each in self._check(resource)]
        return self._findings

    def order(self, name: str) -> tuple[GenerationJobSpec | None, WorkflowTemplateSpec]:
        """A job and its template, or, if no job is named and there is none, the only template. Raises UsageError."""
        jobs = [each for each in self._resources if isinstance(each.model, GenerationJob)]
        chosen = [each for each in jobs if each.name == name] if name else jobs
        if name and not chosen:
            raise UsageError(f"job {name} is not among the files; there: {listed(each.name for each in jobs)}")
        if len(chosen) > 1:
            raise UsageError(f"name one of these jobs with --job: {listed(each.name for each in chosen)}")
        if chosen and isinstance(chosen[0].model, GenerationJob):
            spec = chosen[0].model.spec
            template, found = self._template_of(chosen[0], spec, ())
            if template is None:
                raise UsageError("; ".join(each.message for each in found))
            return spec, template
        templates = [each for each in self._resources if isinstance(each.model, WorkflowTemplate)]
        if len(templates) != 1 or not isinstance(templates[0].model, WorkflowTemplate):
            raise UsageError(f"the files need one template, or a job; there: {listed(each.name for each in templates)}")
        template, missing = self._with_graph(templates[0], templates[0].model.spec)
        if missing:
            raise UsageError(missing.message)
        return None, template

    def _add(self, document: Document) -> None:
        if is_graph(document):
            found = check_bare_graph(document.value, self._knowledge)
            self._findings += [(document, each) for each in found]
        elif is_ours(document):
            found = [*_check_kind(document.value)] or check_schema(document.value["kind"], document.value)
            if not found:
                found = self._keep(document)
            self._findings += [(document, each) for each in found]
        elif isinstance(document.value, dict) and document.value.get("kind") == _CONFIG_MAP:
            self._resources.append(_resource(document, None))

    def _keep(self, document: Document) -> list[Finding]:
        try:
            metadata = {"name": "", **document.value["metadata"]}
            model = _MODELS[document.value["kind"]].model_validate({**document.value, "metadata": metadata})
        except ValidationError as wrong:
            return [error((), f"{'.'.join(map(str, each['loc']))}: {each['msg']}") for each in wrong.errors()]
        self._resources.append(_resource(document, model))
        return []

    def _check(self, resource: Resource) -> Iterator[Finding]:
        match resource.model:
            case WorkflowTemplate():
                yield from self._check_template(resource, resource.model)
            case GenerationJob():
                yield from self._check_job(resource, resource.model.spec)
            case GenerationSweep():
                yield from self._check_sweep(resource, resource.model)

    def _check_template(self, resource: Resource, template: WorkflowTemplate) -> Iterator[Finding]:
        spec, missing = self._with_graph(resource, template.spec)
        if missing:
            yield missing
            return
        found = check_template(spec, self._knowledge)
        # What is kept in a ConfigMap has no line in the template.
        moved = ("spec", "graphFrom")
        for each in found:
            in_file = spec.graph_from is None or each.place[:2] != ("spec", "graph")
            yield each if in_file else Finding(each.severity, moved, each.message)
        bundles, absent = self._bundles(resource, spec)
        yield from absent
        if not absent and not any(each.is_error for each in found):
            yield from check_provided(spec, _paths(bundles), (), self._knowledge)

    def _with_graph(
        self, resource: Resource, spec: WorkflowTemplateSpec
    ) -> tuple[WorkflowTemplateSpec, Finding | None]:
        """The template with the graph of its ConfigMap in place, or why there is none."""
        if spec.graph_from is None:
            return spec, None
        place: Place = ("spec", "graphFrom")
        reference = spec.graph_from.config_map_key_ref
        found = self._find(_CONFIG_MAP, resource, reference.name)
        if found is None:
            message = f"ConfigMap {reference.name} is not among the files; its graph is not checked"
            return spec, warning(place, message)
        graph = read_graph(reference, found.document.value)
        if isinstance(graph, NoGraph):
            return spec, error(place, graph.message)
        return spec.model_copy(update={"graph": graph}), None

    def _check_job(self, resource: Resource, spec: GenerationJobSpec) -> Iterator[Finding]:
        template, found = self._template_of(resource, spec, ("spec", "template", "name"))
        yield from found
        if template:
            yield from Values(template, self._knowledge).check(spec.parameters)
            yield from check_inputs(template, spec.inputs)
            yield from self._check_models(resource, spec, template)

    def _check_models(
        self, resource: Resource, spec: GenerationJobSpec, template: WorkflowTemplateSpec
    ) -> Iterator[Finding]:
        bundles, absent = self._bundles(resource, template)
        if not absent:
            yield from model_value_problems(template, spec.parameters, _paths(bundles))
        for index, name in enumerate(spec.profiles):
            profile = self._find(HardwareProfile.__name__, resource, name)
            if profile and isinstance(profile.model, HardwareProfile):
                for message in tier_problems(template, spec.parameters, profile.model.spec.tier):
                    yield error(("spec", "profiles", index), message)

    def _check_sweep(self, resource: Resource, sweep: GenerationSweep) -> Iterator[Finding]:
        at: Place = ("spec", "jobTemplate")
        template, found = self._template_of(resource, sweep.spec.job_template.spec, (*at, "spec", "template", "name"))
        yield from found
        total = total_of(sweep.spec)
        if total > MAX_JOBS:
            yield error(("spec",), f"the sweep has {total} jobs, and may have {MAX_JOBS}; make several sweeps of it")
        elif template:
            place: Place = ("spec", "sets" if sweep.spec.sets is not None else "matrix")
            for problem, indexes in check_sets(sweep.spec, template).items():
                yield error(place, f"jobs {listed(indexes)}: {problem}")

    def _template_of(
        self, resource: Resource, spec: GenerationJobSpec, place: Place
    ) -> tuple[WorkflowTemplateSpec | None, list[Finding]]:
        """The template of an order, with its graph, if it is there and has one to be read."""
        found = self._find(WorkflowTemplate.__name__, resource, spec.template.name)
        if found is None or not isinstance(found.model, WorkflowTemplate):
            names = [each.name for each in self._resources if isinstance(each.model, WorkflowTemplate)]
            meant = alike(spec.template.name, names)
            hint = f"; did you mean {meant}?" if meant else ""
            message = (
                f"workflowtemplates.comfyard.io {spec.template.name} is not among the files; not checked against it"
            )
            return None, [warning(place, message + hint)]
        if id(found) not in self._sound:
            whole, missing = self._with_graph(found, found.model.spec)
            broken = missing is not None or any(each.is_error for each in check_template(whole, self._knowledge))
            self._sound[id(found)] = None if broken else whole
        return self._sound[id(found)], []

    def _bundles(self, resource: Resource, spec: WorkflowTemplateSpec) -> tuple[list[ModelBundle], list[Finding]]:
        found: list[ModelBundle] = []
        absent: list[Finding] = []
        for index, reference in enumerate(spec.bundles):
            bundle = self._find(ModelBundle.__name__, resource, reference.name)
            if bundle and isinstance(bundle.model, ModelBundle):
                found.append(bundle.model)
                continue
            message = f"modelbundles.comfyard.io {reference.name} is not among the files; not checked what it provides"
            absent.append(warning(("spec", "bundles", index, "name"), message))
        return found, absent

    def _find(self, kind: str, seeker: Resource, name: str) -> Resource | None:
        """An object that another names: in its namespace, or where either does not say."""
        same = (each for each in self._resources if (each.kind, each.name) == (kind, name))
        return next((each for each in same if seeker.namespace in {each.namespace, ""} or not each.namespace), None)


def _paths(bundles: Sequence[ModelBundle]) -> set[str]:
    return {model.path for bundle in bundles for model in bundle.spec.models}


def _resource(document: Document, model: Model | None) -> Resource:
    metadata: dict[str, Any] = document.value.get("metadata") or {}
    name, namespace = metadata.get("name") or "", metadata.get("namespace") or ""
    return Resource(document, document.value["kind"], name, namespace, model)


def _check_kind(value: Mapping[str, Any]) -> Iterator[Finding]:
    kind = value.get("kind")
    if value["apiVersion"] != API_VERSION:
        yield error(("apiVersion",), f"{value['apiVersion']} is not served; write {API_VERSION}")
    if kind not in KINDS:
        meant = alike(str(kind), KINDS)
        hint = f"did you mean {meant}?" if meant else f"there are {listed(sorted(KINDS))}"
        yield error(("kind",), f"{GROUP} has no kind {kind}; {hint}")
