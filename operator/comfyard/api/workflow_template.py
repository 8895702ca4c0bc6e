"""WorkflowTemplate: a graph with named parameters."""

from typing import Annotated, Any, Literal

from pydantic import Field

from comfyard.api.conditions import Conditions
from comfyard.api.meta import FreeForm, Model, Name, ObjectMeta, Text
from comfyard.api.output import OutputStore

ParameterName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
NodeId = Annotated[str, Field(min_length=1, max_length=63)]
Anything = Annotated[Any, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]

FileType = Literal["Image", "Mask", "Video", "Audio"]
"""Parameters whose value is a file: a job gives it in spec.inputs."""

ParameterType = Literal["String", "Integer", "Number", "Boolean", "Seed", "Choice", "Model", FileType]

FileName = Annotated[str, Field(min_length=1, max_length=512)]


class Target(Model):
    """One input of one node."""

    node: NodeId
    input: Annotated[str, Field(min_length=1, max_length=253)]


class ByTier(Model):
    """A model file for each tier of hardware."""

    high: FileName | None = Field(None, alias="High")
    mid: FileName | None = Field(None, alias="Mid")
    low: FileName | None = Field(None, alias="Low")
    custom: FileName | None = Field(None, alias="Custom")


class Parameter(Model):
    """A named value of the graph: it lands where {{name}} stands, and at its targets."""

    name: ParameterName
    type: ParameterType
    description: Text = ""
    required: bool = False
    default: Anything | None = Field(None, description="Used when a job does not give the parameter.")
    minimum: float | None = Field(None, description="For Integer and Number.")
    maximum: float | None = Field(None, description="For Integer and Number.")
    max_length: Annotated[int, Field(ge=0, le=65536)] | None = Field(None, description="Characters, for String.")
    choices: Annotated[
        list[Annotated[str, Field(max_length=1024)]],
        Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default_factory=list, description="For Choice.")
    by_tier: ByTier | None = Field(
        None,
        description="For Model: the file on profiles of that tier, in place of the default; a job may name another.",
    )
    targets: Annotated[list[Target], Field(max_length=32)] = Field(
        default_factory=list, description="Inputs that take the value, besides the places where {{name}} stands."
    )


class BundleReference(Model):
    """A ModelBundle of the same namespace."""

    name: Name


class Output(Model):
    """A node whose files are a result of the job, and the name they get."""

    name: ParameterName
    node: NodeId


class ConfigMapKey(Model):
    """A key of a ConfigMap of the same namespace."""

    name: Name
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]


class GraphSource(Model):
    """Where a graph is kept that is not in the template itself."""

    config_map_key_ref: ConfigMapKey


class WorkflowTemplateSpec(Model):
    """A graph in ComfyUI's API format, what may be set in it, and what it needs."""

    title: Annotated[str, Field(max_length=128)] = ""
    description: Text = ""
    tags: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=63)]],
        Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default_factory=list)
    graph: FreeForm = Field(
        default_factory=dict, description='ComfyUI\'s API format: {"3": {"class_type": ..., "inputs": {...}}, ...}.'
    )
    graph_from: GraphSource | None = Field(None, description="In place of graph; JSON in the same format.")
    bundles: Annotated[
        list[BundleReference],
        Field(
            max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = Field(default_factory=list, description="The models that the graph names come from these.")
    parameters: Annotated[
        list[Parameter],
        Field(
            max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = Field(default_factory=list)
    outputs: Annotated[
        list[Output],
        Field(
            min_length=1,
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    output: OutputStore | None = Field(None, description="Where results of jobs go that do not say so themselves.")


class ModelUse(Model):
    """A model file that the graph names, and the bundle that provides it."""

    path: Annotated[str, Field(max_length=512)]
    bundle: Annotated[str, Field(max_length=253)]


class WorkflowTemplateStatus(Model):
    """What was accepted."""

    observed_generation: int = -1
    conditions: Conditions = Field(default_factory=list)
    digest: Annotated[str, Field(max_length=80)] = Field("", description="Names the accepted content.")
    revision: Annotated[str, Field(max_length=253)] = Field("", description="The ControllerRevision that keeps it.")
    node_classes: Annotated[
        list[Annotated[str, Field(max_length=253)]],
        Field(max_length=1024, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default_factory=list)
    models: Annotated[list[ModelUse], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = (
        Field(default_factory=list)
    )
    parameter_schema: FreeForm | None = Field(None, description="JSON Schema of a job's parameters, for forms.")


class WorkflowTemplate(Model):
    """A graph with named parameters, checked before a job may use it."""

    metadata: ObjectMeta
    spec: WorkflowTemplateSpec
    status: WorkflowTemplateStatus = Field(default_factory=WorkflowTemplateStatus)
