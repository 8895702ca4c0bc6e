"""An OCI registry that serves an image layout: a directory with oci-layout, index.json and blobs/sha256.

It wants a bearer token from an authorisation service on another port, which knows users by password and, where the
registry is public, gives tokens to anybody. Blobs may be redirected to a presigned host. A manifest is given only to
who accepts its media type.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.doubles.presigned import Presigned
from tests.doubles.serving import Record, send_file, serving

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
EMPTY = "application/vnd.oci.empty.v1+json"
WEIGHT_RAW = "application/vnd.cncf.model.weight.v1.raw"
TITLE = "org.opencontainers.image.title"
FILEPATH = "org.cncf.model.filepath"
_TAG = "org.opencontainers.image.ref.name"

Descriptor = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """An image layout on disk."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "blobs/sha256").mkdir(parents=True)
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}))

    def blob(self, content: bytes, media_type: str, **more: Any) -> Descriptor:
        """Put a blob in; gives its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    def layer(self, name: str, content: bytes, media_type: str = WEIGHT_RAW, key: str = FILEPATH) -> Descriptor:
        """Put a file in as a layer."""
        return self.blob(content, media_type, annotations={key: name})

    def manifest(self, layers: Sequence[Descriptor], media_type: str = MANIFEST, **more: Any) -> Descriptor:
        """Put a manifest in; gives its descriptor."""
        config = self.blob(b"{}", EMPTY)
        body = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": list(layers)}
        return self.blob(json.dumps(body).encode(), media_type, **more)

    def index(self, manifests: Sequence[Descriptor]) -> Descriptor:
        """Put an index of several manifests in; gives its descriptor."""
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}
        return self.blob(json.dumps(body).encode(), INDEX)

    def tag(self, name: str, descriptor: Descriptor) -> str:
        """Let a tag name a manifest or an index; gives its digest."""
        path = self.folder / "index.json"
        top = json.loads(path.read_text())
        kept = [one for one in top["manifests"] if one["annotations"][_TAG] != name]
        top["manifests"] = [*kept, {**descriptor, "annotations": {_TAG: name}}]
        path.write_text(json.dumps(top))
        return str(descriptor["digest"])

    def find(self, reference: str) -> Path | None:
        """The file of a tag, or of a digest."""
        if not reference.startswith("sha256:"):
            top = json.loads((self.folder / "index.json").read_text())
            found = [one["digest"] for one in top["manifests"] if one["annotations"][_TAG] == reference]
            if not found:
                return None
            reference = found[0]
        path = self.folder / "blobs/sha256" / reference.removeprefix("sha256:")
        return path if path.is_file() else None


@dataclass
class Registry:
    """The registry with one repository per layout, its authorisation service, and its storage.

    Attributes:
        base: With scheme and port.
        auth: The address of the service that gives tokens.
        layouts: By repository.
        users: Passwords by name.
        scheme: Bearer, or Basic for registries without such a service.
        public: Whether anybody may read.
        redirects: Whether blobs come from the storage.
        tampered: Answer manifests with a further byte, as a registry that lies.
    """

    base: str = ""
    auth: str = ""
    layouts: dict[str, Layout] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    scheme: str = "Bearer"
    public: bool = True
    redirects: bool = False
    tampered: bool = False
    record: Record = field(default_factory=Record)
    auth_record: Record = field(default_factory=Record)
    storage: Presigned = field(default_factory=Presigned)
    _tokens: set[str] = field(default_factory=set)

    @property
    def host(self) -> str:
        """As it stands in references."""
        return self.base.removeprefix("http://")

    def expire(self) -> None:
        """All tokens that were given until now are too old."""
        self._tokens.clear()

    def app(self) -> web.Application:
        app = self.record.middleware()
        app.router.add_get("/v2/{name:.+}/manifests/{reference}", self._manifest)
        app.router.add_get("/v2/{name:.+}/blobs/{digest}", self._blob)
        return app

    def auth_app(self) -> web.Application:
        app = self.auth_record.middleware()
        app.router.add_get("/token", self._token)
        return app

    async def _manifest(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        layout = self.layouts.get(request.match_info["name"])
        file = layout.find(request.match_info["reference"]) if layout else None
        content = file.read_bytes() if file else b"{}"
        kind = json.loads(content).get("mediaType", "")
        if file is None or kind not in request.headers.get("Accept", ""):
            code = "NAME_UNKNOWN" if layout is None else "MANIFEST_UNKNOWN"
            return _error(404, code, "unknown to registry")
        digest = {"Docker-Content-Digest": f"sha256:{file.name}"}
        return web.Response(body=content + b" " * self.tampered, content_type=kind, headers=digest)

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        digest = request.match_info["digest"]
        file = self.layouts[request.match_info["name"]].find(digest)
        if file is None:
            return _error(404, "BLOB_UNKNOWN", "unknown to registry")
        if self.redirects:
            raise web.HTTPTemporaryRedirect(self.storage.sign(digest, file.read_bytes()))
        return await send_file(request, file.read_bytes(), f'"{digest}"')

    async def _token(self, request: web.Request) -> web.Response:
        sent = request.headers.get("Authorization")
        if sent is not None and not self._is_user(sent):
            return _error(401, "UNAUTHORIZED", "incorrect username or password")
        token = secrets.token_hex(16)
        if sent is not None or self.public:
            self._tokens.add(token)
        return web.json_response({"token": token, "expires_in": 300})

    def _refusal(self, request: web.Request) -> web.Response | None:
        sent = request.headers.get("Authorization", "")
        if sent.removeprefix("Bearer ") in self._tokens or (self.scheme == "Basic" and self._is_user(sent)):
            return None
        name = request.match_info["name"]
        challenge = f'{self.scheme} realm="{self.auth}/token",service="registry",scope="repository:{name}:pull"'
        response = _error(401, "UNAUTHORIZED", "authentication required")
        response.headers["WWW-Authenticate"] = challenge
        return response

    def _is_user(self, sent: str) -> bool:
        known = [base64.b64encode(f"{name}:{word}".encode()).decode() for name, word in self.users.items()]
        return sent.removeprefix("Basic ") in known


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


@contextmanager
def running(host: str = "127.0.0.1", port: int = 0) -> Iterator[Registry]:
    """The registry at the port, its authorisation service and its storage at free ones."""
    registry = Registry()
    apps = (registry.app(), registry.auth_app(), registry.storage.app())
    with serving(*apps, host=host, port=port) as (base, auth, storage):
        registry.base, registry.auth, registry.storage.base = base, auth, storage
        yield registry
