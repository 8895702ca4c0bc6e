"""A Hugging Face hub, as huggingface_hub knows it (reference A4).

HEAD and GET of /{repo}/resolve/{revision}/{file} answer 302 with X-Repo-Commit, X-Linked-Etag (the SHA-256 of a file
in LFS) and X-Linked-Size, to a CDN on another port that refuses Authorization and has ETags of its own. Small files
come from the hub itself, with git's SHA-1 as their ETag. Errors carry X-Error-Code.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.doubles.presigned import Presigned
from tests.doubles.serving import Record, send_file, serving


@dataclass
class Repo:
    """A repository with one commit.

    Attributes:
        lfs: Files in LFS, by path.
        small: Files in git itself.
        gated: Whether one must have agreed to something; only `members` have.
        private: Whether only `members` know of it.
        members: Tokens that may read it.
        moved_to: The name it has now; requests for the old one are redirected.
        limited: How many requests are answered with 429 before there is a normal answer.
    """

    lfs: dict[str, bytes] = field(default_factory=dict)
    small: dict[str, bytes] = field(default_factory=dict)
    revisions: set[str] = field(default_factory=lambda: {"main", "v1"})
    gated: bool = False
    private: bool = False
    members: set[str] = field(default_factory=set)
    moved_to: str = ""
    limited: int = 0

    @property
    def commit(self) -> str:
        """Of all revisions; follows from the content."""
        digest = hashlib.sha1(usedforsecurity=False)
        for files in (self.lfs, self.small):
            for path, content in sorted(files.items()):
                digest.update(path.encode() + content)
        return digest.hexdigest()


@dataclass
class HuggingFace:
    """The hub and its CDN.

    Attributes:
        tokens: Those of users.
        forward: A hub that all requests are redirected to, as some mirrors do.
        plain: Answer everything with a page, as a server that is no hub.
    """

    base: str = ""
    tokens: set[str] = field(default_factory=set)
    repos: dict[str, Repo] = field(default_factory=dict)
    forward: str = ""
    plain: bool = False
    record: Record = field(default_factory=Record)
    cdn: Presigned = field(default_factory=Presigned)

    def app(self) -> web.Application:
        app = self.record.middleware()
        app.router.add_get("/{prefix:(hub/)?}{repo:[^/]+/[^/]+}/resolve/{revision}/{file:.*}", self._resolve)
        app.router.add_get("/api/resolve-cache/models/{repo:[^/]+/[^/]+}/{commit}/{file:.*}", self._small)
        app.router.add_get("/{path:.*}", self._page)
        return app

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text="<html>welcome</html>", content_type="text/html")

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        if self.plain:
            return await self._page(request)
        if self.forward:
            raise web.HTTPPermanentRedirect(f"{self.forward}{request.path}")
        name, revision, path = (request.match_info[key] for key in ("repo", "revision", "file"))
        repo = self.repos.get(name)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            return _error(401, "", "Invalid credentials in Authorization header")
        if repo is None or (repo.private and token not in repo.members):
            return _error(404 if token else 401, "RepoNotFound", "Repository not found")
        if repo.limited:
            repo.limited -= 1
            return web.Response(status=429, headers={"Retry-After": "7"})
        if repo.moved_to:
            raise web.HTTPTemporaryRedirect(f"/{repo.moved_to}/resolve/{revision}/{path}")
        return self._file(repo, name, token, revision, path)

    def _file(self, repo: Repo, name: str, token: str, revision: str, path: str) -> web.Response:
        if repo.gated and token not in repo.members:
            return _error(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        if revision not in {*repo.revisions, repo.commit}:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        headers = {"X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes"}
        if path in repo.small:
            content = repo.small[path]
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{_git_sha1(content)}"'}
            headers["Location"] = f"/api/resolve-cache/models/{name}/{repo.commit}/{path}"
            return web.Response(status=307, headers=headers)
        if path not in repo.lfs:
            return _error(404, "EntryNotFound", "Entry not found")
        content = repo.lfs[path]
        digest = hashlib.sha256(content).hexdigest()
        headers |= {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{digest}"', "ETag": '"of-the-redirect"'}
        return web.Response(status=302, headers={**headers, "Location": self.cdn.sign(digest, content)})

    async def _small(self, request: web.Request) -> web.StreamResponse:
        repo = self.repos[request.match_info["repo"]]
        content = repo.small[request.match_info["file"]]
        return await send_file(request, content, f'"{_git_sha1(content)}"', {"X-Repo-Commit": repo.commit})


def _error(status: int, code: str, message: str) -> web.Response:
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return web.json_response({"error": message}, status=status, headers=headers)


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


@contextmanager
def running(host: str = "127.0.0.1", port: int = 0) -> Iterator[HuggingFace]:
    """The hub at the port, its CDN at a free one."""
    hub = HuggingFace()
    with serving(hub.app(), hub.cdn.app(), host=host, port=port) as (site, cdn):
        hub.base, hub.cdn.base = site, cdn
        yield hub
