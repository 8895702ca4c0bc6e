"""OCI registries, as far as fetching goes: manifests, blobs, and the token that they want for them.

https://github.com/opencontainers/distribution-spec and https://distribution.github.io/distribution/spec/auth/token/.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from pydantic import BaseModel, Field, ValidationError

from comfyard.store import errors
from comfyard.store.http.semantics import error_of, parse_retry_after
from comfyard.store.http.web import Web
from comfyard.store.origin import Remote
from comfyard.store.stop import Stop

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_PART = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<registry>[A-Za-z0-9.-]+(:[0-9]+)?)/(?P<repository>{_PART}(/{_PART})*)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Reference:
    """A reference in its parts.

    Attributes:
        registry: Host, or host:port.
        repository: In the registry.
        version: A digest or a tag.
    """

    registry: str
    repository: str
    version: str


def parse_reference(image: str) -> Reference:
    """Split registry/repository[:tag][@digest]; beside a digest, a tag does not count.

    Raises:
        NotFoundError: It is none.
    """
    found = _REFERENCE.fullmatch(image)
    if found is None or not ({".", ":"} & set(found["registry"]) or found["registry"] == "localhost"):
        raise errors.NotFoundError(f"{image!r} does not name an artifact; write registry/repository:tag or …@sha256:…")
    return Reference(found["registry"], found["repository"], found["digest"] or found["tag"] or "latest")


class Repository:
    """One repository of a registry, and the token that was given for it.

    Args:
        reference: Which.
        web: Asks, and has the logins.
        stop: Ends it from another thread.
        insecure: Speak HTTP without TLS.
    """

    def __init__(self, reference: Reference, web: Web, stop: Stop, *, insecure: bool) -> None:
        self.shown = f"{reference.registry}/{reference.repository}"
        self._repository = reference.repository
        self._web = web
        self._stop = stop
        self._base = f"{'http' if insecure else 'https'}://{reference.registry}/v2/{reference.repository}"
        self._login: dict[str, str] = {}
        self._judge = reference.registry
        """Who says who may read."""

    def manifest(self, version: str) -> bytes:
        """A manifest or an index; what a digest names is held against it. Raises StoreError and StoppedError."""
        content = self._read(version)
        if DIGEST.fullmatch(version) and version != f"sha256:{hashlib.sha256(content).hexdigest()}":
            raise errors.RefusedError(f"{self.shown} answers with something else than {version}; ask who runs it")
        return content

    def blob(self, sha256: str, size: int, shown: str) -> Remote:
        """Where a blob is."""
        return Remote(f"{self._base}/blobs/sha256:{sha256}", shown, self._login, size, sha256)

    def _read(self, version: str) -> bytes:
        """Ask; when it wants a login, do as it says and ask again."""
        status, headers, content = self._ask(version)
        if status == HTTPStatus.UNAUTHORIZED and not self._login:
            self._login = self._answer(headers.get("www-authenticate", ""))
            status, headers, content = self._ask(version)
        if status == HTTPStatus.OK:
            return content
        if status == HTTPStatus.NOT_FOUND:
            raise errors.NotFoundError(f"{self.shown} has no artifact {version}; correct image")
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise self._denied()
        wait = parse_retry_after(headers.get("retry-after"), datetime.now(UTC))
        raise error_of(status, self.shown, wait) or errors.RefusedError(f"{self.shown}: unexpected {status}")

    def _ask(self, version: str) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Accept": ", ".join(_MANIFESTS), **self._login}
        return self._web.fetch(f"{self._base}/manifests/{version}", self.shown, self._stop, headers)

    def _answer(self, challenge: str) -> dict[str, str]:
        """What the registry asks for: the password itself, or a token of the service that it names."""
        scheme, _, rest = challenge.partition(" ")
        try:
            asked = parse_keqv_list(parse_http_list(rest))
        except ValueError:
            asked = {}
        realm = asked.get("realm", "")
        if scheme.lower() == "basic":
            basic = self._web.credentials.basic_for(self._base)
            if basic is None:
                raise self._denied()
            return {"Authorization": basic.header}
        if scheme.lower() != "bearer" or urlsplit(realm).scheme not in {urlsplit(self._base).scheme, "https"}:
            raise errors.RefusedError(
                f"{self.shown} wants a login of a kind that is not supported; use another registry"
            )
        return {"Authorization": f"Bearer {self._token(realm, asked)}"}

    def _token(self, realm: str, asked: Mapping[str, str]) -> str:
        scope = asked.get("scope", f"repository:{self._repository}:pull")
        url = f"{realm}?{urlencode({'service': asked.get('service', ''), 'scope': scope})}"
        basic = self._web.credentials.basic_for(realm, registry=self._base)
        self._judge = urlsplit(realm).netloc
        shown = f"the login of {self.shown}"
        try:
            answer, _ = self._web.get_json(url, shown, self._stop, {"Authorization": basic.header} if basic else {})
            return _Token.model_validate(answer).text
        except (errors.UnauthorizedError, errors.ForbiddenError) as error:
            raise self._denied() from error
        except ValidationError:  # its text would quote the token
            raise errors.RefusedError(f"{shown} answers without a token; see whether the registry works") from None

    def _denied(self) -> errors.UnauthorizedError:
        return errors.UnauthorizedError(
            f"{self.shown} is private, or not there; correct image, or name a Secret in spec.credentials with a login, "
            f"whose annotation comfyard.io/hosts lists {self._judge}"
        )


class _Token(BaseModel):
    """Services have called it either."""

    token: Annotated[str, Field(pattern=r"^[!-~]*$")] = ""
    access_token: Annotated[str, Field(pattern=r"^[!-~]*$")] = ""

    @property
    def text(self) -> str:
        return self.token or self.access_token
