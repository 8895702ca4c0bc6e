"""Files of model versions on CivitAI."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from comfyard.api.model_bundle import CivitaiSource
from comfyard.store import errors
from comfyard.store.http.web import Web
from comfyard.store.origin import Remote
from comfyard.store.stop import Stop

_SHA256 = re.compile(r"[0-9a-f]{64}")


class _File(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    name: str
    download_url: str
    primary: bool = False
    hashes: dict[str, str | None] = Field(default_factory=dict)

    @property
    def sha256(self) -> str | None:
        """In lower case, unlike there; None for files that were not scanned yet."""
        found = (self.hashes.get("SHA256") or "").lower()
        return found if _SHA256.fullmatch(found) else None


class _Version(BaseModel):
    model_config = ConfigDict(frozen=True)

    files: list[_File]


@dataclass(frozen=True)
class CivitaiOrigin:
    """One file of a model version.

    Attributes:
        key: See Origin.
        source: What the bundle says.
        web: For its API.
    """

    key: str
    source: CivitaiSource
    web: Web

    @contextmanager
    def locate(self, stop: Stop) -> Iterator[Remote]:
        """See Origin. The size stays open: the API tells it in kilobytes, rounded."""
        file = self._choose(self._ask(stop))
        address = self._address(file)
        try:
            yield Remote(address, f"{file.name} of {self._shown}", sha256=file.sha256)
        except errors.UnauthorizedError as error:
            raise errors.UnauthorizedError(
                f"{file.name} of {self._shown} is not for everybody, or in early access: name a Secret in "
                f"spec.credentials with an API key for {self._host} whose account may download it"
            ) from error

    @property
    def _host(self) -> str:
        return urlsplit(self.source.endpoint).netloc

    @property
    def _shown(self) -> str:
        return f"model version {self.source.model_version_id} at {self._host}"

    def _ask(self, stop: Stop) -> _Version:
        address = f"{self.source.endpoint.rstrip('/')}/api/v1/model-versions/{self.source.model_version_id}"
        try:
            answer, _ = self.web.get_json(address, self._shown, stop)
            return _Version.model_validate(answer)
        except errors.NotFoundError as error:
            raise errors.NotFoundError(
                f"there is no {self._shown}; correct modelVersionId, the number after modelVersionId= in addresses, or "
                "endpoint: some models are on civitai.red only"
            ) from error
        except ValidationError as error:
            raise errors.RefusedError(
                f"{self._host} tells {self._shown} in a way that this version cannot read"
            ) from error

    def _address(self, file: _File) -> str:
        """Always at the endpoint, which the key is for: civitai.red and civitai.com are two doors of one house."""
        parts = urlsplit(file.download_url)
        if not parts.path.startswith("/api/download/"):
            raise errors.RefusedError(f"{self._shown} is to be fetched from an address that is no download there")
        return f"{self.source.endpoint.rstrip('/')}{parts.path}{f'?{parts.query}' if parts.query else ''}"

    def _choose(self, version: _Version) -> _File:
        """The file of the wanted name, or the primary one."""
        wanted = self.source.file
        fits = [one for one in version.files if (one.primary if wanted is None else one.name == wanted)]
        if wanted is None and len(version.files) == 1:
            fits = version.files
        if fits:
            return max(fits, key=lambda one: one.primary)
        names = ", ".join(one.name for one in version.files) or "none"
        missing = f"no file {wanted}" if wanted else "no primary file"
        raise errors.NotFoundError(f"{self._shown} has {missing}; its files are: {names}; set file to one of them")
