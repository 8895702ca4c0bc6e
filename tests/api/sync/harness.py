"""The store sync's program beside a real API server; the tests play person and operator."""

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from comfyard.api.meta import ANNOTATION_HOSTS, FINALIZER_STORE
from comfyard.controller.resources.access import Named, build_access
from comfyard.controller.resources.sync_job import build_inventory, sync_name
from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import CONFIG_MAP, EVENT, MODEL_BUNDLE, PERSISTENT_VOLUME_CLAIM, SECRET, Obj, name_of
from comfyard.store.inventory import Inventory
from comfyard.sync.inventory import read
from comfyard.sync.program import run
from comfyard.sync.settings import Settings
from tests.unit.agent.harness import SECONDS, eventually
from tests.unit.store.source_server import sha256

PATH = "checkpoints/x.safetensors"
CLAIM = "models"
INVENTORY = sync_name(CLAIM)


def model(url: str, content: bytes | None = None, path: str = PATH, **more: Any) -> dict[str, Any]:
    digest = {"sha256": sha256(content)} if content is not None else {}
    return {"path": path, "source": {"http": {"url": url}}, **digest, **more}


async def give_access(kube: LightkubeClient, namespace: str, secrets: Sequence[str] = ()) -> None:
    """What the operator applies before it makes a sync, for bundles that name these Secrets."""
    for kind, obj in build_access(namespace, Named(bundle_secrets=secrets, inventories=[INVENTORY])):
        await kube.apply(kind, obj)


async def make_claim(kube: LightkubeClient, namespace: str) -> None:
    """What a person makes, and what the operator makes with it."""
    modes = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"metadata": {"name": CLAIM, "namespace": namespace}, "spec": modes}
    await kube.create(CONFIG_MAP, build_inventory(await kube.create(PERSISTENT_VOLUME_CLAIM, claim)))


class Bundles:
    """The bundles of a namespace: what a person and the operator write, and every state that the watch has told of."""

    def __init__(self, kube: LightkubeClient, namespace: str, audit_log: Path) -> None:
        self.kube = kube
        self.namespace = namespace
        self._audit_log = audit_log
        self._seen: list[Obj] = []
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator["Bundles"]:
        version = (await self.kube.list(MODEL_BUNDLE, self.namespace)).resource_version
        following = asyncio.create_task(self._follow(version))
        try:
            yield self
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def put(self, name: str, models: Sequence[dict[str, Any]] = (), **spec: Any) -> None:
        """Create a bundle, or change its spec, as a person does; the operator looks at it a moment later."""
        await self.apply(name, models, **spec)
        await self.observe(name)

    async def apply(self, name: str, models: Sequence[dict[str, Any]] = (), **spec: Any) -> None:
        """What a person does."""
        meta: dict[str, Any] = {"name": name, "namespace": self.namespace}
        if spec.get("deletionPolicy") == "Delete":
            meta |= {"finalizers": [FINALIZER_STORE]}
        await self.kube.apply(MODEL_BUNDLE, {"metadata": meta, "spec": {"models": list(models), **spec}})

    async def observe(self, name: str, **status: Any) -> None:
        """What the operator does when it has looked at a bundle."""
        seen = {"observedGeneration": (await self.get(name))["metadata"]["generation"], "claimName": CLAIM}
        await self.kube.patch_status(MODEL_BUNDLE, name, self.namespace, {**seen, **status})

    async def remove(self, name: str) -> None:
        await self.kube.delete(MODEL_BUNDLE, name, self.namespace)

    async def release(self, name: str) -> None:
        """What the operator does when the files of a deleted bundle are gone."""
        version = (await self.get(name))["metadata"]["resourceVersion"]
        await self.kube.patch(MODEL_BUNDLE, name, self.namespace, {"metadata": {"finalizers": []}}, version)

    async def keep_secret(self, name: str, hosts: str | None, **data: str) -> None:
        meta: dict[str, Any] = {"name": name, "namespace": self.namespace}
        if hosts is not None:
            meta["annotations"] = {ANNOTATION_HOSTS: hosts}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        await self.kube.apply(SECRET, {"metadata": meta, "data": encoded})

    async def get(self, name: str) -> Obj:
        return await self.kube.get(MODEL_BUNDLE, name, self.namespace)

    async def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = (await self.get(name))["status"]
        return status

    async def states(self, name: str) -> list[tuple[str, str]]:
        return [(row["state"], row["reason"]) for row in (await self.status(name))["models"]]

    async def history(self, name: str) -> list[dict[str, Any]]:
        """Every status that a bundle has had."""
        version = (await self.get(name))["metadata"]["resourceVersion"]
        await self._until(lambda: any(obj["metadata"]["resourceVersion"] == version for obj in self._seen))
        return self._statuses(name)

    async def until_row(self, name: str, **fields: Any) -> dict[str, Any]:
        """Wait for the first row of a bundle to say so, however short."""

        def rows() -> list[dict[str, Any]]:
            return [row for row in self._first_rows(name) if fields.items() <= row.items()]

        await self._until(rows)
        return rows()[0]

    async def until_told(self, name: str, part: str) -> None:
        """Wait for a message of the first row of a bundle, however short."""
        await self._until(lambda: any(part in row["message"] for row in self._first_rows(name)))

    async def events(self, name: str) -> list[tuple[str, str, str]]:
        """Type, reason and message of the events on a bundle, in alphabetical order."""
        found = (await self.kube.list(EVENT, self.namespace)).items
        about = [event for event in found if event["involvedObject"]["name"] == name]
        return sorted((event["type"], event["reason"], event["message"]) for event in about)

    async def until_event(self, name: str, reason: str, part: str) -> None:
        """Wait for an event that says so."""

        async def check() -> bool:
            return any(found == reason and part in message for _, found, message in await self.events(name))

        await eventually(check)

    async def inventory(self) -> Inventory:
        found = read((await self.kube.get(CONFIG_MAP, INVENTORY, self.namespace)).get("data"))
        assert found
        return found

    async def fields_by(self, manager: str, name: str) -> set[str]:
        """The fields of a status that a client has set, from the API server's own book of it."""
        book = (await self.get(name))["metadata"]["managedFields"]
        [fields] = [entry["fieldsV1"]["f:status"] for entry in book if entry["manager"] == manager]
        return {field.removeprefix("f:") for field in fields}

    def writes(self, resource: str = MODEL_BUNDLE.plural) -> int:
        """Requests that write, from the API server's audit log; it has those that change nothing, too."""
        lines = (json.loads(line) for line in self._audit_log.read_text().splitlines())
        return sum(
            line["objectRef"].get("namespace") == self.namespace
            and line["objectRef"]["resource"] == resource
            and line["stage"] == "ResponseComplete"
            for line in lines
        )

    def _first_rows(self, name: str) -> list[dict[str, Any]]:
        return [row for status in self._statuses(name) for row in status.get("models", [])[:1]]

    def _statuses(self, name: str) -> list[dict[str, Any]]:
        return [obj["status"] for obj in self._seen if name_of(obj) == name]

    async def _follow(self, version: str) -> None:
        async for event in self.kube.watch(MODEL_BUNDLE, self.namespace, resource_version=version):
            self._seen.append(event.object)
            async with self._changed:
                self._changed.notify_all()

    async def _until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(SECONDS), self._changed:
            await self._changed.wait_for(lambda: bool(true()))


class Running:
    """The program on a directory."""

    def __init__(self, client: LightkubeClient, namespace: str, directory: Path) -> None:
        self.directory = directory
        self.task: asyncio.Task[int] | None = None
        self._client = client
        self._namespace = namespace

    def start(self, **settings: Any) -> asyncio.Task[int]:
        quick = {"report_seconds": 0.05, "linger_seconds": 0, "lock_seconds": 0, **settings}
        chosen = Settings(
            namespace=self._namespace,
            claim=CLAIM,
            inventory=INVENTORY,
            store_directory=self.directory,
            sources_directory=self.directory.parent / "sources",
            **quick,
        )
        self.task = asyncio.ensure_future(run(chosen, self._client))
        return self.task

    async def end(self) -> None:
        """Stop it, if it has not ended."""
        if self.task:
            self.task.cancel()
            await asyncio.wait([self.task])

    @property
    def contents(self) -> set[str]:
        """SHA-256 of what lies on the volume by content."""
        return {entry.name for entry in (self.directory / ".comfyard/sha256").iterdir() if not entry.suffix}

    @property
    def unfinished(self) -> list[str]:
        return sorted(entry.suffix for entry in (self.directory / ".comfyard/partial").iterdir())


def rot(file: Path) -> None:
    """What a disk does: another byte, and nothing that tells of it."""
    found = file.stat()
    with file.open("r+b") as opened:
        opened.seek(found.st_size // 2)
        byte = opened.read(1)[0]
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes([byte ^ 1]))
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
