"""ModelBundle: which files a claim must hold."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from comfyard.api.conditions import Conditions
from comfyard.api.meta import HTTP_ORIGIN, HTTP_URL, Model, Name, ObjectMeta, Quantity, Sha256, Tags, Text

ModelPath = Annotated[
    str,
    Field(
        min_length=3, max_length=512, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+ ()\[\]-]*)+$"
    ),
]
"""ComfyUI folder / file, such as checkpoints/sd_xl_base_1.0.safetensors: relative, no part starts with a dot."""


SourcePath = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[!-.0-~][ -~]*$")]
"""A path inside of a source: printable ASCII, not absolute."""

GitCommit = Annotated[str, Field(min_length=40, max_length=40, pattern=r"^[0-9a-f]{40}$")]
"""A commit by its whole SHA-1; branches and tags move."""


class HuggingFaceSource(Model):
    """A file of a repository on Hugging Face, or on a mirror of it."""

    repo: Annotated[str, Field(min_length=3, max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+$")]
    file: SourcePath = Field(description="Path in the repository.")
    revision: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")] = Field(
        "main", description="Branch, tag or, so that it stays the same, a commit."
    )
    endpoint: Annotated[str, Field(max_length=512, pattern=HTTP_URL)] = Field(
        "https://huggingface.co", description="The hub, or a mirror."
    )


class CivitaiSource(Model):
    """A file of a model version on CivitAI."""

    model_version_id: Annotated[int, Field(ge=1)] = Field(description="The number after modelVersionId= in addresses.")
    file: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="Name of one of the version's files; unset: its primary file."
    )
    endpoint: Annotated[str, Field(max_length=512, pattern=HTTP_ORIGIN)] = Field(
        "https://civitai.com", description="civitai.com, or civitai.red for what is only there."
    )


class HttpSource(Model):
    """A file behind an address."""

    url: Annotated[str, Field(min_length=8, max_length=2048, pattern=HTTP_URL)] = Field(
        description="http:// or https://, without a user or a token in it."
    )


class S3Source(Model):
    """An object of a bucket."""

    bucket: Annotated[str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    key: SourcePath
    endpoint: Annotated[str, Field(max_length=512, pattern=HTTP_ORIGIN)] | None = Field(
        None, description="Of anything that speaks S3; unset: AWS."
    )
    region: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")] = "us-east-1"


class OciSource(Model):
    """A file of an artifact in a registry: ModelPack, or any artifact whose layers are files."""

    image: Annotated[str, Field(min_length=3, max_length=512, pattern=r"^[A-Za-z0-9._:/@-]+$")] = Field(
        description="registry/repository:tag, or, so that it stays the same, registry/repository@sha256:digest."
    )
    path: SourcePath | None = Field(None, description="The file in the artifact; unset: its only one.")
    insecure: bool = Field(default=False, description="Speak HTTP without TLS to the registry.")


class GitSource(Model):
    """A file of a git repository, itself or by git-lfs."""

    url: Annotated[str, Field(min_length=8, max_length=2048, pattern=HTTP_URL)]
    commit: GitCommit
    path: SourcePath


class ClaimSource(Model):
    """A file on another claim of the namespace."""

    name: Name
    path: SourcePath


class ExistingSource(Model):
    """Nowhere: the file is on the claim already, under its path. It is verified and kept."""


class Source(Model):
    """Where a file comes from: exactly one of the fields."""

    hugging_face: HuggingFaceSource | None = None
    civitai: CivitaiSource | None = None
    http: HttpSource | None = None
    s3: S3Source | None = None
    oci: OciSource | None = None
    git: GitSource | None = None
    claim: ClaimSource | None = None
    existing: ExistingSource | None = None


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
    tags: Tags = Field(
        default_factory=list,
        description="What hardware chooses by: spec.profiles here, spec.models of a profile.",
    )
    allow_pickle: bool = Field(
        default=False,
        description="Take a file whose format can run code (ckpt, pt, pth, bin, pkl); with a pinned sha256 and a clean "
        "scan only.",
    )


class GitRepository(Model):
    """A repository at one commit."""

    url: Annotated[str, Field(min_length=8, max_length=2048, pattern=HTTP_URL)]
    commit: GitCommit


class CustomNode(Model):
    """A package of custom nodes. What it imports besides ComfyUI must be in the server's image."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")] = Field(
        description="Its folder in custom_nodes."
    )
    git: GitRepository


class CredentialSecret(Model):
    """A Secret, or one key of it."""

    name: Name
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] | None = Field(
        None,
        description="The key that holds a token. Unset: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        ".dockerconfigjson.",
    )


class Credential(Model):
    """What to show to sources. It goes to the hosts that the Secret's annotation comfyard.io/hosts names, only."""

    secret_ref: CredentialSecret


DeletionPolicy = Literal["Retain", "Delete"]


class ModelBundleSpec(Model):
    """Which files a claim must hold."""

    store: Store = Field(default_factory=Store)
    models: Annotated[
        list[ModelFile],
        Field(
            max_length=256,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["path"]},
        ),
    ] = Field(default_factory=list)
    custom_nodes: Annotated[
        list[CustomNode],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(default_factory=list)
    profiles: Annotated[list[Name], Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"})] = Field(
        default_factory=list, description="Fetch only what these HardwareProfiles' tags want; unset: everything."
    )
    credentials: Annotated[
        list[Credential], Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list)
    suspend: bool = Field(default=False, description="Fetch nothing for now; what is there stays.")
    deletion_policy: DeletionPolicy = Field(
        "Retain", description="Delete: files that the bundle does not list any more, and no other needs, are removed."
    )
    verify_every_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = Field(
        604_800, description="Read every file again after so long, and repair what is not as it was; 0: never."
    )


ModelState = Literal["Pending", "Fetching", "Ready", "Failed"]

ModelKind = Literal[
    "Checkpoint",
    "DiffusionModel",
    "Vae",
    "TextEncoder",
    "ClipVision",
    "Lora",
    "ControlNet",
    "Embedding",
    "UpscaleModel",
    "Unknown",
]
"""What a file is, for ComfyUI's loaders. Unknown: nothing certain can be said of it, which is no fault."""

Count = Annotated[int, Field(ge=0)]


class ModelStatus(Model):
    """One file, as the store sync sees it."""

    path: ModelPath
    state: ModelState = "Pending"
    sha256: Sha256 | None = None
    size: Count | None = None
    bytes: Count = 0
    bytes_per_second: Count = 0
    eta_seconds: Count | None = None
    reason: Annotated[str, Field(max_length=64)] = ""
    message: Text = ""
    kind: ModelKind | None = Field(None, description="What the file is, by its header; unset before it is there.")
    tensor_bytes: Count | None = Field(None, description="Of the weights in it, if it is a safetensors file.")
    diffusion_bytes: Count | None = Field(
        None,
        description="Of a checkpoint's weights, those of its diffusion model: what sampling needs.",
    )
    dtype: Annotated[str, Field(max_length=16)] | None = Field(
        None, description="The type that most bytes of its weights have: F16, BF16, F8_E4M3."
    )


class CustomNodeStatus(Model):
    """One package of custom nodes, as the store sync sees it."""

    name: Annotated[str, Field(max_length=63)]
    state: ModelState = "Pending"
    commit: Annotated[str, Field(max_length=40)] = ""
    tree: Annotated[str, Field(max_length=40)] = Field("", description="git's hash of the files that are there.")
    reason: Annotated[str, Field(max_length=64)] = ""
    message: Text = ""


class Amount(Model):
    """How much there is to be, and how much there is."""

    total: Count = 0
    ready: Count = 0


class ModelBundleStatus(Model):
    """What the operator decides, and what the store sync reports.

    The operator writes observedGeneration, conditions, claimName, digest, skipped and inUse; the store sync the rest.
    The sync acts on a spec only when the operator has observed it: claimName, skipped and inUse belong to it.
    """

    observed_generation: int = -1
    conditions: Conditions = Field(default_factory=list)
    claim_name: Annotated[str, Field(max_length=253)] = Field("", description="The claim that holds the files.")
    digest: Annotated[str, Field(max_length=80)] = Field("", description="Names the exact content: paths and SHA-256.")
    skipped: Annotated[list[ModelPath], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"})] = (
        Field(default_factory=list, description="Paths that none of spec.profiles wants.")
    )
    in_use: bool = Field(default=False, description="Jobs run with its files: none is removed or replaced.")
    synced_generation: int = Field(-1, description="The generation that the sync's fields tell of.")
    files: Amount = Field(default_factory=Amount)
    bytes: Amount = Field(default_factory=Amount)
    bytes_per_second: Count = 0
    eta_seconds: Count | None = None
    models: Annotated[
        list[ModelStatus],
        Field(
            max_length=256, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["path"]}
        ),
    ] = Field(default_factory=list)
    custom_nodes: Annotated[
        list[CustomNodeStatus],
        Field(
            max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = Field(default_factory=list)
    verified_time: Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})] | None = Field(
        None, description="When the file that was read longest ago was read."
    )


class ModelBundle(Model):
    """Which files a claim must hold: fetched, verified, and kept so."""

    metadata: ObjectMeta
    spec: ModelBundleSpec
    status: ModelBundleStatus = Field(default_factory=ModelBundleStatus)

    def wanted_models(self) -> list[ModelFile]:
        """The files that must be there: all but what no profile of spec.profiles wants; none once it is deleted."""
        if self.metadata.deletion_timestamp:
            return []
        skipped = set(self.status.skipped)
        return [model for model in self.spec.models if model.path not in skipped]

    def wanted_nodes(self) -> list[CustomNode]:
        """The custom nodes that must be there; none once it is deleted."""
        return [] if self.metadata.deletion_timestamp else self.spec.custom_nodes

    def is_observed(self) -> bool:
        """Whether what the operator wrote belongs to the spec as it is."""
        return self.status.observed_generation == self.metadata.generation

    def verification_due(self) -> datetime | None:
        """When its files should be read again; None when never, or before they were there."""
        if not self.spec.verify_every_seconds or self.status.verified_time is None:
            return None
        return datetime.fromisoformat(self.status.verified_time) + timedelta(seconds=self.spec.verify_every_seconds)
