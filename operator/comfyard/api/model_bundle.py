"""ModelBundle: which files a claim must hold."""

from typing import Annotated, Literal

from pydantic import Field

from comfyard.api.conditions import Conditions
from comfyard.api.meta import HTTP_URL, Model, Name, ObjectMeta, Quantity, Sha256, Text

ModelPath = Annotated[
    str,
    Field(
        min_length=3, max_length=512, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+ ()\[\]-]*)+$"
    ),
]
"""ComfyUI folder / file, such as checkpoints/sd_xl_base_1.0.safetensors: relative, no part starts with a dot."""


class HttpSource(Model):
    """A file behind an address."""

    url: Annotated[str, Field(min_length=8, max_length=2048, pattern=HTTP_URL)] = Field(
        description="http:// or https://, without a user or a token in it."
    )


class Source(Model):
    """Where a file comes from: exactly one of the fields."""

    http: HttpSource | None = None


AccessMode = Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]


def read_write_once() -> list[AccessMode]:
    """What every storage class can do: mounted by the pods of one node."""
    return ["ReadWriteOnce"]


class ClaimTemplate(Model):
    """A PersistentVolumeClaim that the operator makes, and never deletes: models are dear."""

    storage_class_name: Name | None = None
    access_modes: Annotated[
        list[AccessMode],
        Field(min_length=1, max_length=3, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default_factory=read_write_once)
    size: Quantity


class Store(Model):
    """The claim: an existing one, or one to be made for this bundle. Neither: the operator's default."""

    claim_name: Name | None = None
    claim_template: ClaimTemplate | None = None


class ModelFile(Model):
    """One file that must be there."""

    path: ModelPath
    source: Source
    sha256: Sha256 | None = Field(None, description="What the file must be. Without it, what came is recorded.")


class ModelBundleSpec(Model):
    """Which files a claim must hold."""

    store: Store = Field(default_factory=Store)
    models: Annotated[
        list[ModelFile],
        Field(
            min_length=1,
            max_length=256,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["path"]},
        ),
    ]


ModelState = Literal["Pending", "Fetching", "Ready", "Failed"]


class ModelStatus(Model):
    """One file, as the store sync sees it."""

    path: ModelPath
    state: ModelState = "Pending"
    sha256: Sha256 | None = None
    size: Annotated[int, Field(ge=0)] | None = None
    bytes: Annotated[int, Field(ge=0)] = 0
    reason: Annotated[str, Field(max_length=64)] = ""
    message: Text = ""


class Amount(Model):
    """How much there is to be, and how much there is."""

    total: Annotated[int, Field(ge=0)] = 0
    ready: Annotated[int, Field(ge=0)] = 0


class ModelBundleStatus(Model):
    """Conditions and digest are the operator's; files, bytes and speed come from the store sync."""

    observed_generation: int = -1
    conditions: Conditions = Field(default_factory=list)
    claim_name: Annotated[str, Field(max_length=253)] = Field("", description="The claim that holds the files.")
    digest: Annotated[str, Field(max_length=80)] = Field("", description="Names the exact content: paths and SHA-256.")
    synced_generation: int = Field(-1, description="The generation that models, files and bytes tell of.")
    files: Amount = Field(default_factory=Amount)
    bytes: Amount = Field(default_factory=Amount)
    bytes_per_second: Annotated[int, Field(ge=0)] = 0
    eta_seconds: Annotated[int, Field(ge=0)] | None = None
    models: Annotated[
        list[ModelStatus],
        Field(
            max_length=256, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["path"]}
        ),
    ] = Field(default_factory=list)


class ModelBundle(Model):
    """Which files a claim must hold: fetched, verified, and kept so."""

    metadata: ObjectMeta
    spec: ModelBundleSpec
    status: ModelBundleStatus = Field(default_factory=ModelBundleStatus)
