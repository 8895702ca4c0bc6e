"""A git server: git's own http-backend behind HTTP, with git-lfs, and with a login where that is wanted."""

import asyncio
import base64
import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.doubles.presigned import Presigned
from tests.doubles.serving import Record, serving

_LFS = "application/vnd.git-lfs+json"
_WHO = ("-c", "user.name=Tess", "-c", "user.email=tess@example.com", "-c", "init.defaultBranch=main")


class Work:
    """A working copy, and the bare repository that is served from it."""

    def __init__(self, folder: Path, served: Path) -> None:
        self.folder = folder
        self._served = served
        git("init", "-q", str(folder))
        git("init", "-q", "--bare", str(served))
        self.configure("uploadpack.allowFilter", "true")

    def commit(self, **files: bytes) -> str:
        """Commit files as they are in the folder, and push; gives the commit."""
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", "a change")
        return self.push()

    def push(self) -> str:
        """Have what is committed served; gives the commit."""
        self.git("push", "-q", "--force", str(self._served), "HEAD:refs/heads/main")
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        return git("-C", str(self.folder), *arguments, stdin=stdin)

    def configure(self, key: str, value: str) -> None:
        """Set something of the repository that is served."""
        git("-C", str(self._served), "config", key, value)


def git(*arguments: str, stdin: bytes = b"") -> str:
    """Run git without anybody's configuration; gives what it says."""
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", *_WHO, *arguments], env=env, check=True, input=stdin, stdout=subprocess.PIPE)
    return done.stdout.decode().strip()


def pointer(content: bytes) -> bytes:
    """What git-lfs keeps in git in place of a file."""
    digest = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n".encode()


@dataclass
class GitServer:
    """The server.

    Attributes:
        folder: Of the bare repositories.
        login: user:password, without which nothing is given; empty: everybody may read.
        lfs: Contents that git-lfs has, by SHA-256.
        forward: A server that all requests are redirected to.
        hang: A part of a path at which it takes the request and never answers.
        hanging: Told of a request that is not answered.
        cut: Bytes of a pack after which the connection breaks off; None: it does not.
        garble: Place of a byte of a pack that is changed on its way; None: none is.
        sent: Bytes that git's program has answered.
    """

    folder: Path
    base: str = ""
    login: str = ""
    lfs: dict[str, bytes] = field(default_factory=dict)
    forward: str = ""
    hang: str = ""
    hanging: threading.Event = field(default_factory=threading.Event)
    cut: int | None = None
    garble: int | None = None
    sent: int = 0
    record: Record = field(default_factory=Record)
    storage: Presigned = field(default_factory=Presigned)

    def repository(self, name: str, work: Path) -> Work:
        """Make a repository to serve as {base}/{name}.git."""
        return Work(work, self.folder / f"{name}.git")

    def app(self) -> web.Application:
        app = self.record.middleware()
        app.router.add_post("/{repo:.+}/info/lfs/objects/batch", self._batch)
        app.router.add_route("*", "/{path:.*}", self._backend)
        return app

    async def _backend(self, request: web.Request) -> web.StreamResponse:
        if self.hang and self.hang in request.path_qs:
            self.hanging.set()
            await asyncio.Event().wait()
        if self.forward:
            raise web.HTTPTemporaryRedirect(f"{self.forward}{request.path_qs}")
        if not self._may(request):
            return _login()
        env = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        }
        body = await request.read()
        done = await asyncio.to_thread(
            subprocess.run, ["git", "http-backend"], input=body, env=env, capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        self.sent += len(content)
        if self.garble is not None and b"PACK" in content:
            at = content.index(b"PACK") + self.garble
            content = content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]
        if self.cut is None or self.cut >= len(content) or b"command=fetch" not in body:
            return web.Response(status=status, headers=headers, body=content)
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: self.cut])
        if request.transport is not None:
            request.transport.close()
        return response

    async def _batch(self, request: web.Request) -> web.Response:
        if not self._may(request):
            return _login()
        if request.headers.get("Accept") != _LFS or request.content_type != _LFS:
            return web.Response(status=406)
        asked = await request.json()
        if asked["operation"] != "download":
            return web.Response(status=403)
        objects = [self._object(one["oid"], one["size"]) for one in asked["objects"]]
        return web.json_response({"transfer": "basic", "objects": objects}, content_type=_LFS)

    def _object(self, oid: str, size: int) -> dict[str, Any]:
        content = self.lfs.get(oid)
        if content is None:
            return {"oid": oid, "size": size, "error": {"code": 404, "message": "Object does not exist"}}
        action = {"href": self.storage.sign(oid, content), "header": {"X-Lfs": "yes"}, "expires_in": 3600}
        return {"oid": oid, "size": size, "authenticated": True, "actions": {"download": action}}

    def _may(self, request: web.Request) -> bool:
        expected = base64.b64encode(self.login.encode()).decode()
        return not self.login or request.headers.get("Authorization") == f"Basic {expected}"


def _login() -> web.Response:
    return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})


@contextmanager
def running(folder: Path, host: str = "127.0.0.1", port: int = 0) -> Iterator[GitServer]:
    """The server of the repositories in a folder at the port, the storage of its git-lfs at a free one."""
    server = GitServer(folder)
    with serving(server.app(), server.storage.app(), host=host, port=port) as (base, storage):
        server.base, server.storage.base = base, storage
        yield server
