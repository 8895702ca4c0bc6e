"""What all kinds share: names of group, labels and annotations, the base model, and field types of Kubernetes.

Every string and list here has a bound: the API server's cost estimate of CEL rules assumes the worst case of what
the schema allows, and etcd refuses objects over 1.5 MiB.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "comfyard.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "comfy"

MANAGED_BY = "comfyard"
"""Value of app.kubernetes.io/managed-by on everything the operator makes."""

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_POOL = f"{GROUP}/pool"
LABEL_PROFILE = f"{GROUP}/profile"
LABEL_SHAPE = f"{GROUP}/shape"
"""On a server pod: digest of what its profile was when it was made. One of another shape is outdated."""
LABEL_CLAIM = f"{GROUP}/claim"
LABEL_TEMPLATE = f"{GROUP}/template"
LABEL_SWEEP = f"{GROUP}/sweep"
LABEL_MAX_JOBS = f"{GROUP}/max-jobs"
"""On a Namespace: how many of its jobs may be with servers at once."""
LABEL_MAX_SERVERS = f"{GROUP}/max-servers"
"""On a Namespace: how many servers of all profiles it may have at once."""
ANNOTATION_INDEX = f"{GROUP}/sweep-index"
"""On a job of a sweep: which set of parameters it has."""
FINALIZER_STORE = f"{GROUP}/store"
"""On a ModelBundle with deletionPolicy Delete: it is there until its files are gone."""
FINALIZER_SWEEP = f"{GROUP}/sweep"
"""On a job of a sweep: it is there until the sweep's status counts it, so that it is not made again."""
ANNOTATION_HOSTS = f"{GROUP}/hosts"
"""On a Secret: the hosts, separated by commas, that it may be sent to. Its owner decides, not who names it."""
ANNOTATION_IMAGE = f"{GROUP}/image"
"""On the ServiceAccounts of our programs: the image that they run."""
ANNOTATION_RERUN_OF = f"{GROUP}/rerun-of"
"""On a GenerationJob: the job of the namespace whose order it repeats."""
ANNOTATION_OUTPUT = f"{GROUP}/output"
"""On a Namespace: where results of its jobs go when neither job nor template says so; an OutputStore as JSON."""


class Model(BaseModel):
    """A part of a resource: snake_case here, camelCase in the API, never changed after it was read.

    Unknown fields are ignored, so that an operator can read what a newer one wrote; the API server has pruned or
    refused what the schema does not know.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_api(self) -> dict[str, Any]:
        """The JSON form, as the API server takes it: camelCase, unset fields left out."""
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")


class ObjectMeta(Model):
    """The part of metav1.ObjectMeta that is read here."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: list[str] = Field(default_factory=list)


Name = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
]
"""A DNS-1123 subdomain: the name of an object."""

LabelName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
"""A DNS-1123 label: the name of an object that is a label's value elsewhere."""

_NUMBER = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"

Quantity = Annotated[
    str | int,
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "pattern": rf"^(\+|-)?{_NUMBER}(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?{_NUMBER}))?$",
        }
    ),
]
"""resource.Quantity: 24Gi, 500m, 1000000000."""

Text = Annotated[str, Field(max_length=1024)]
"""A sentence for a person."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)]
"""A SHA-256 digest as 64 lower-case hexadecimal digits."""

FreeForm = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
"""An object whose schema is not ours (a graph, an affinity): kept as it is, compared as a whole."""

HTTP_ORIGIN = r"^https?://[!-.0-?A-~]+$"
HTTP_URL = r"^https?://[!-.0-?A-~]+(/[!-~]*)?$"
"""Without user or password: no @ before the first slash. In ASCII classes, as \\s and \\S mean other characters to the
API server (Go) than to pydantic (Rust), and what one takes the other must be able to read."""

Tag = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")]

Tags = Annotated[list[Tag], Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"})]
"""Words that entries of a bundle carry and profiles choose by."""
