"""A client of the API server that costs little, as it shares the processors with what is measured."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from comfyard.kube.kinds import Kind, Obj, name_of

_LONGEST_LINE = 4 * 1024 * 1024
_LIST_AGAIN_SECONDS = 1.0


class RefusedError(Exception):
    """The API server said no."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"HTTP {code}: {text[:300]}")
        self.code = code


class Api:
    """Requests to one API server, with the token of a kubeconfig.

    Args:
        kubeconfig: Of a ServiceAccount: an authority and a token.
        agent: The user agent, which the audit log tells writers apart by.
    """

    def __init__(self, kubeconfig: Path, agent: str) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._server = cluster["server"]
        self._ssl = ssl.create_default_context(cadata=authority)
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}", "User-Agent": agent}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._ssl, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)  # a watch may have nothing to say for long
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=timeout, read_bufsize=_LONGEST_LINE
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        """One object."""
        return await self._send("GET", _path(kind, namespace, name))

    async def list(self, kind: Kind, namespace: str = "", **selectors: str) -> tuple[list[Obj], str]:
        """Objects, and the version to watch from."""
        found = await self._send("GET", _path(kind, namespace), params=selectors)
        return found["items"], str(found["metadata"]["resourceVersion"])

    async def watch(
        self, kind: Kind, namespace: str, version: str, seconds: float, **selectors: str
    ) -> AsyncIterator[tuple[str, Obj]]:
        """Type and object of each change since a version, for so many seconds."""
        params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(round(seconds)), **selectors}
        async with self._session.get(self._server + _path(kind, namespace), params=params) as answer:
            await _check(answer)
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise RefusedError(event["object"].get("code", 0), str(event["object"].get("message")))
                yield event["type"], event["object"]

    async def follow(
        self, kind: Kind, namespace: str, seconds: float, **selectors: str
    ) -> AsyncIterator[tuple[str, Obj]]:
        """Type and object of each change, for ever; of one that was deleted while nobody watched, only its name.

        All are read again after so many seconds, and when the API server ends the watch, as it does when its reader is
        too slow.
        """
        known: set[str] = set()
        while True:
            try:
                items, version = await self.list(kind, namespace, **selectors)
                gone, known = known, set(map(name_of, items))
                for name in gone - known:
                    yield "DELETED", {"metadata": {"name": name}}
                for obj in items:
                    yield "MODIFIED", obj
                async for event, obj in self.watch(kind, namespace, version, seconds, **selectors):
                    (known.discard if event == "DELETED" else known.add)(name_of(obj))
                    yield event, obj
            except RefusedError:
                await asyncio.sleep(_LIST_AGAIN_SECONDS)

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        """Create."""
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        path = _path(kind, obj["metadata"].get("namespace", ""))
        return await self._send("POST", path, json.dumps(whole), "application/json")

    async def merge_status(self, kind: Kind, name: str, namespace: str, status: Mapping[str, Any]) -> Obj:
        """Merge into status."""
        path = _path(kind, namespace, name) + "/status"
        return await self._send("PATCH", path, json.dumps({"status": status}), "application/merge-patch+json")

    async def json_patch_status(self, kind: Kind, name: str, namespace: str, patch: Sequence[Mapping[str, Any]]) -> Obj:
        """Change status by operations."""
        path = _path(kind, namespace, name) + "/status"
        return await self._send("PATCH", path, json.dumps(patch), "application/json-patch+json")

    async def delete(self, kind: Kind, name: str, namespace: str = "") -> Obj:
        """Delete at once, as kubelet does when the containers have ended."""
        options = json.dumps({"gracePeriodSeconds": 0})
        return await self._send("DELETE", _path(kind, namespace, name), options, "application/json")

    async def _send(
        self,
        method: str,
        path: str,
        body: str | None = None,
        content: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Obj:
        headers = {"Content-Type": content} if content else {}
        async with self._session.request(
            method, self._server + path, data=body, headers=headers, params=params
        ) as answer:
            await _check(answer)
            found: Obj = json.loads(await answer.read())
            return found


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    where = f"/namespaces/{namespace}" if kind.namespaced and namespace else ""
    return f"{root}{where}/{kind.plural}" + (f"/{name}" if name else "")


async def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 300:  # noqa: PLR2004 - whatever is not a success
        raise RefusedError(answer.status, await answer.text())
