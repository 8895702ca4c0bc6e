"""A CivitAI that refuses what the real one refuses (reference A5).

HEAD is 401, token or not; the User-Agent that urllib sends by itself is 403; a download is 307 to a presigned host on
another port, which refuses any Authorization header; who may not download gets 401, or an answer that is no model
with status 200.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.doubles.presigned import Presigned
from tests.doubles.serving import Record, serving

Refusal = Literal["401", "json", "html"]

_LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Civitai | Login</title></head><body>Sign In</body></html>"
_CLOUDFLARE = "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head></html>"
_EARLY = {
    "error": "Unauthorized",
    "message": "The creator of this asset has set it to be early access. You must purchase it to download it.",
}
_LOGIN = {
    "error": "Unauthorized",
    "message": "The creator of this asset requires you to be logged in to download it",
}


@dataclass
class Version:
    """A model version.

    Attributes:
        files: Content by name; the first one is the primary file.
        login: Whether only tokens may download it.
        early: Nobody may yet, token or not.
        refusal: How it says so.
        hashes: Whether the API tells SHA-256; it does not until files were scanned.
        elsewhere: What downloadUrl begins with instead of the site's address.
    """

    files: dict[str, bytes]
    login: bool = False
    early: bool = False
    refusal: Refusal = "401"
    hashes: bool = True
    elsewhere: str = ""


@dataclass
class Civitai:
    """The site, and the host that it sends downloads to."""

    base: str = ""
    tokens: set[str] = field(default_factory=set)
    versions: dict[int, Version] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    storage: Presigned = field(default_factory=Presigned)

    def app(self) -> web.Application:
        app = self.record.middleware()
        app.router.add_route("HEAD", "/{path:.*}", self._head)
        app.router.add_get("/api/v1/model-versions/{id}", self._version, allow_head=False)
        app.router.add_get("/api/download/models/{id}", self._download, allow_head=False)
        app.router.add_get("/login", self._login, allow_head=False)
        return app

    async def _head(self, _: web.Request) -> web.Response:
        return web.Response(status=401)

    async def _version(self, request: web.Request) -> web.Response:
        refusal = self._gate(request)
        if refusal is not None:
            return refusal
        number = int(request.match_info["id"])
        version = self.versions.get(number)
        if version is None:
            return web.json_response({"error": f"No model version with id {number}"}, status=404)
        files = [self._file(number, version, name, index) for index, name in enumerate(version.files)]
        return web.json_response({"id": number, "modelId": number // 10, "name": "v1.0", "files": files})

    def _file(self, number: int, version: Version, name: str, index: int) -> dict[str, Any]:
        content = version.files[name]
        digest = hashlib.sha256(content).hexdigest().upper()
        query = "" if index == 0 else f"?type=Model&format=SafeTensor&name={index}"
        hashes = {"AutoV2": digest[:10], "SHA256": digest, "CRC32": "DEADBEEF"} if version.hashes else {}
        return {
            "id": number * 10 + index,
            "name": name,
            "sizeKB": round(len(content) / 1024, 1),
            "type": "Model",
            "metadata": {"format": "SafeTensor", "fp": "fp16", "size": "pruned"},
            "pickleScanResult": "Success",
            "virusScanResult": "Success",
            "hashes": hashes,
            "downloadUrl": f"{version.elsewhere or self.base}/api/download/models/{number}{query}",
            **({"primary": True} if index == 0 else {}),
        }

    async def _download(self, request: web.Request) -> web.StreamResponse:
        refusal = self._gate(request)
        if refusal is not None:
            return refusal
        version = self.versions[int(request.match_info["id"])]
        if version.early:
            return self._refuse(version, _EARLY)
        if version.login and not self._known(request):
            return self._refuse(version, _LOGIN)
        name = list(version.files)[int(request.query.get("name", "0"))]
        raise web.HTTPTemporaryRedirect(self.storage.sign(name, version.files[name]))

    def _refuse(self, version: Version, said: dict[str, str]) -> web.Response:
        if version.refusal == "html":
            raise web.HTTPTemporaryRedirect("/login?returnUrl=%2Fmodels%2F1&reason=download-auth")
        return web.json_response(said, status=200 if version.refusal == "json" else 401)

    async def _login(self, _: web.Request) -> web.Response:
        return web.Response(text=_LOGIN_PAGE, content_type="text/html")

    def _known(self, request: web.Request) -> bool:
        return request.headers.get("Authorization", "").removeprefix("Bearer ") in self.tokens

    def _gate(self, request: web.Request) -> web.Response | None:
        """What stands before all pages: Cloudflare, and a look at the token if there is one."""
        agent = request.headers.get("User-Agent", "")
        if not agent or agent.startswith("Python-urllib"):
            return web.Response(status=403, text=_CLOUDFLARE, content_type="text/html")
        if "Authorization" in request.headers and not self._known(request):
            return web.json_response({"error": "Unauthorized"}, status=401)
        return None


@contextmanager
def running(host: str = "127.0.0.1", port: int = 0) -> Iterator[Civitai]:
    """The site at the port, its storage at a free one."""
    civitai = Civitai()
    with serving(civitai.app(), civitai.storage.app(), host=host, port=port) as (site, storage):
        civitai.base, civitai.storage.base = site, storage
        yield civitai
