"""Files of artifacts in OCI registries: ModelPack, and plain artifacts whose layers are files."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from comfyard.api.model_bundle import OciSource
from comfyard.store import errors
from comfyard.store.http.web import Web
from comfyard.store.origin import Remote
from comfyard.store.sources.registry import DIGEST, Repository, parse_reference
from comfyard.store.stop import Stop

_NAMES = ("org.cncf.model.filepath", "org.opencontainers.image.title")
_ORAS_FILE = "application/vnd.oci.image.layer.v1.tar"
_ORAS_UNPACK = "io.deis.oras.content.unpack"
_PACKED = {"tar", "gzip", "gz", "zstd", "zst", "tgz"}
_EMPTY = "application/vnd.oci.empty.v1+json"
_ATTESTATION = "vnd.docker.reference.type"


class _Descriptor(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    media_type: str
    digest: str
    size: int = Field(ge=0)
    annotations: dict[str, str] = Field(default_factory=dict)
    platform: dict[str, object] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file that a layer is."""
        return next((self.annotations[key] for key in _NAMES if key in self.annotations), "")

    @property
    def is_file(self) -> bool:
        """Whether the layer's bytes are the file's: not packed, not compressed."""
        if self.media_type == _ORAS_FILE:  # what oras calls files for which nobody names a type
            return bool(self.name) and _ORAS_UNPACK not in self.annotations
        return _PACKED.isdisjoint(re.split(r"[.+]", self.media_type))


class _Manifest(BaseModel):
    """A manifest has layers, an index has manifests."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    manifests: list[_Descriptor] = Field(default_factory=list)
    layers: list[_Descriptor] = Field(default_factory=list)


@dataclass(frozen=True)
class OciOrigin:
    """One file of an artifact.

    Attributes:
        key: See Origin.
        source: What the bundle says.
        web: For the registry.
    """

    key: str
    source: OciSource
    web: Web

    @contextmanager
    def locate(self, stop: Stop) -> Iterator[Remote]:
        """See Origin."""
        reference = parse_reference(self.source.image)
        repository = Repository(reference, self.web, stop, insecure=self.source.insecure)
        found = self._read(repository, reference.version)
        if found.manifests:
            found = self._read(repository, self._supported(self._one_of(found.manifests)).digest)
        layer = self._choose([one for one in found.layers if one.media_type != _EMPTY])
        shown = f"{layer.name or 'the file'} of {self.source.image}"
        yield repository.blob(layer.digest.removeprefix("sha256:"), layer.size, shown)

    def _read(self, repository: Repository, version: str) -> _Manifest:
        try:
            return _Manifest.model_validate_json(repository.manifest(version))
        except ValidationError as error:
            raise errors.RefusedError(
                f"{self.source.image} is not the manifest of an artifact; correct image"
            ) from error

    def _one_of(self, manifests: list[_Descriptor]) -> _Descriptor:
        """The artifact of an index: files are the same on all platforms, and where not, linux/amd64 is taken."""
        real = [one for one in manifests if _ATTESTATION not in one.annotations]
        fits = [one for one in real if (one.platform.get("os"), one.platform.get("architecture")) == ("linux", "amd64")]
        for choice in (real, fits):
            if len(choice) == 1:
                return choice[0]
        digests = ", ".join(one.digest for one in real) or "none"
        raise errors.NotFoundError(f"{self.source.image} has several artifacts: {digests}; name one by …@sha256:…")

    def _choose(self, layers: list[_Descriptor]) -> _Descriptor:
        image, path = self.source.image, self.source.path
        fits = [one for one in layers if path is None or one.name == path]
        if len(fits) != 1:
            names = ", ".join(one.name or one.media_type for one in layers) or "none"
            missing = "not exactly one file" if path is None else f"no file {path}"
            raise errors.NotFoundError(f"{image} has {missing}; its files are: {names}; set path to one of them")
        if not fits[0].is_file:
            raise errors.UnsupportedSourceError(
                f"{path or image} is packed ({fits[0].media_type}); push the file as it is, as a layer of type "
                "application/vnd.cncf.model.weight.v1.raw"
            )
        return self._supported(fits[0])

    def _supported(self, one: _Descriptor) -> _Descriptor:
        if not DIGEST.fullmatch(one.digest):
            raise errors.UnsupportedSourceError(
                f"{self.source.image} has a part with digest {one.digest[:100]}; only sha256 is supported, push it anew"
            )
        return one
