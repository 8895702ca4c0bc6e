"""HardwareProfile: what a ComfyUI server is, and how many of them there may be. Cluster-scoped, for admins."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from comfyard.api.conditions import Conditions
from comfyard.api.meta import FreeForm, LabelName, Model, Name, ObjectMeta, Quantity, Tags

LabelMap = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64)]


class Gpu(Model):
    """The GPUs of one server."""

    resource_name: Annotated[str, Field(max_length=253)] = Field(
        "nvidia.com/gpu", description="The extended resource that the device plugin offers."
    )
    count: Annotated[int, Field(ge=0, le=16)] = Field(1, description="GPUs of one server; 0 runs ComfyUI on the CPU.")
    memory: Quantity | None = Field(None, description="Memory of one GPU, such as 24Gi; for people and for estimates.")


class EnvVar(Model):
    """One variable of the server's environment."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")]
    value: Annotated[str, Field(max_length=4096)] = ""


class Resources(Model):
    """Requests and limits of the ComfyUI container, besides the GPUs."""

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(default_factory=dict)
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(default_factory=dict)


class Server(Model):
    """The ComfyUI container."""

    image: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="A ComfyUI image; its entry point must take ComfyUI's own arguments."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    command: Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=32)] = Field(
        default_factory=list, description="In place of the image's entry point."
    )
    args: Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=64)] = Field(
        default_factory=list, description="Added to what the operator sets (listen, port, directories, model paths)."
    )
    env: Annotated[
        list[EnvVar],
        Field(
            max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = Field(default_factory=list)
    resources: Resources = Field(default_factory=Resources)
    startup_seconds: Annotated[int, Field(ge=1, le=86400)] = Field(
        600, description="A server that is not ready for so long, at its start or later, is replaced."
    )
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        15, description="A server that is deleted or evicted gives its job so long to finish before it goes back."
    )
    shared_memory: Quantity | None = Field(
        None,
        description="Size of /dev/shm, such as 2Gi, counted as memory of the container; unset: the runtime's 64 MiB.",
    )


class Placement(Model):
    """Where server pods go, in the words of a pod's spec."""

    node_selector: LabelMap = Field(default_factory=dict)
    tolerations: Annotated[list[FreeForm], Field(max_length=32)] = Field(default_factory=list)
    affinity: FreeForm | None = None
    runtime_class_name: Name | None = None
    priority_class_name: Name | None = None
    scheduler_name: Name | None = None
    labels: LabelMap = Field(default_factory=dict)
    annotations: LabelMap = Field(default_factory=dict)
    image_pull_secrets: Annotated[
        list[Name], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = Field(default_factory=list, description="Names of Secrets in the namespace of the job.")


class WarmUp(Model):
    """A template that each server renders once, with its defaults, before it counts as ready."""

    namespace: Name = Field(description="Of the template; only servers of this namespace are warmed up.")
    template: Name = Field(description="All of its parameters need defaults, but for a Seed.")


class Pool(Model):
    """How many servers there may be. A pool is a namespace, this profile, its claims and custom nodes."""

    min_servers: Annotated[int, Field(ge=0, le=1000)] = Field(
        0,
        description="Servers that stay when idle. With warmUp they start before the first job, else they come with it.",
    )
    max_servers: Annotated[int, Field(ge=1, le=1000)] = Field(4, description="Servers of this profile in the cluster.")
    idle_seconds: Annotated[int, Field(ge=0, le=604800)] = Field(
        300, description="A server that had nothing to do for so long goes away."
    )
    queue_depth: Annotated[int, Field(ge=1, le=8)] = Field(
        2, description="Jobs that a server has at once: one renders, the inputs of the others load."
    )
    jobs_per_server: Annotated[int, Field(ge=0, le=1000000)] = Field(
        0, description="A server that has run so many jobs is replaced by a new one; 0: never."
    )
    warm_up: WarmUp | None = None


class LabelRequirement(Model):
    """One term of a selector, as in metav1.LabelSelectorRequirement."""

    key: Annotated[str, Field(min_length=1, max_length=317)]
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=64)] = Field(default_factory=list)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil it. NotIn is fulfilled by a label that is not there, as in Kubernetes."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class LabelSelector(Model):
    """Objects by their labels, as metav1.LabelSelector: all terms must hold, and no term selects everything."""

    match_labels: LabelMap = Field(default_factory=dict)
    match_expressions: Annotated[
        list[LabelRequirement], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects an object with these labels."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            each.matches(labels) for each in self.match_expressions
        )


class NamespaceSelection(Model):
    """Whose jobs may run here."""

    from_: Literal["All", "Selector"] = Field("All", alias="from", description="All namespaces, or those selected.")
    selector: LabelSelector | None = Field(None, description="By the labels of namespaces; only with from: Selector.")

    def allows(self, labels: Mapping[str, str]) -> bool:
        """Whether jobs of a namespace with these labels may run here."""
        return self.selector is None or self.selector.matches(labels)


class ModelSelection(Model):
    """Which entries of a bundle this hardware uses: those without tags, and those whose tags say so."""

    include_tags: Tags = Field(
        default_factory=list, description="An entry with tags needs one of these; unset: all entries, but for the next."
    )
    exclude_tags: Tags = Field(default_factory=list, description="An entry with one of these is left out.")

    def wants(self, tags: Sequence[str]) -> bool:
        """Whether an entry with these tags is used."""
        if set(tags) & set(self.exclude_tags):
            return False
        return not tags or not self.include_tags or bool(set(tags) & set(self.include_tags))


class HardwareProfileSpec(Model):
    """What a server is."""

    tier: Literal["High", "Mid", "Low", "Custom"] = Field("Custom", description="What people call the machine.")
    gpu: Gpu = Field(default_factory=Gpu)
    server: Server
    placement: Placement = Field(default_factory=Placement)
    pool: Pool = Field(default_factory=Pool)
    models: ModelSelection = Field(default_factory=ModelSelection)
    mmap: Literal["Auto", "Always", "Never"] = Field(
        "Auto",
        description="Whether ComfyUI maps model files into memory. Auto: not from volumes that several nodes mount; "
        "mapped files load slowly from network volumes.",
    )
    namespaces: NamespaceSelection = Field(default_factory=NamespaceSelection)
    queue_name: LabelName | None = Field(
        None, description="A LocalQueue of Kueue in the namespace of the job: servers wait for its quota."
    )


class ServerCounts(Model):
    """Servers of this profile in all namespaces."""

    total: Annotated[int, Field(ge=0)] = 0
    starting: Annotated[int, Field(ge=0)] = 0
    idle: Annotated[int, Field(ge=0)] = 0
    busy: Annotated[int, Field(ge=0)] = 0


class HardwareProfileStatus(Model):
    """What the operator saw."""

    observed_generation: int = -1
    conditions: Conditions = Field(default_factory=list)
    servers: ServerCounts = Field(default_factory=ServerCounts)
    queued: Annotated[int, Field(ge=0)] = Field(0, description="Jobs that wait for a server of this profile.")


class HardwareProfile(Model):
    """What a ComfyUI server is: image, GPUs, placement, and how many."""

    metadata: ObjectMeta
    spec: HardwareProfileSpec
    status: HardwareProfileStatus = Field(default_factory=HardwareProfileStatus)
