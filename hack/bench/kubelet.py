"""Plays kubelet for the server pods of one namespace, of which no container is ever started."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from comfyard.api.conditions import timestamp
from comfyard.api.meta import LABEL_COMPONENT
from comfyard.controller.resources.access import COMPONENT_SERVER
from comfyard.kube.kinds import POD, Obj, name_of
from hack.bench.api import Api, RefusedError

USER_AGENT = "kubelet"
_WATCH_SECONDS = 3600.0

Ready = Callable[[], Awaitable[None]]
"""Says that the server of a pod works."""

Serve = Callable[[Obj, Ready], Coroutine[Any, Any, None]]
"""Is the server of a pod, until it is cancelled."""


class Kubelet:
    """Runs something in place of each server pod, and reports on the pods as kubelet does."""

    def __init__(self, api: Api, namespace: str, serve: Serve) -> None:
        self._api = api
        self._namespace = namespace
        self._serve = serve
        self._pods: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow the pods of the namespace, until cancelled. Raises what a server raises."""
        async with asyncio.TaskGroup() as group:
            selector = {"labelSelector": f"{LABEL_COMPONENT}={COMPONENT_SERVER}"}
            async for event, pod in self._api.follow(POD, self._namespace, _WATCH_SECONDS, **selector):
                if event == "DELETED":
                    self._end(name_of(pod))
                else:
                    await self._see(pod, group)

    async def _see(self, pod: Obj, group: asyncio.TaskGroup) -> None:
        name = name_of(pod)
        if pod["metadata"].get("deletionTimestamp"):
            self._end(name)
            with suppress(RefusedError):  # it is gone already
                await self._api.delete(POD, name, self._namespace)
        elif name not in self._pods:
            self._pods[name] = group.create_task(self._serve(pod, lambda: self._ready(pod)))

    def _end(self, name: str) -> None:
        if name in self._pods:
            self._pods[name].cancel()

    async def _ready(self, pod: Obj) -> None:
        await self._api.merge_status(POD, name_of(pod), self._namespace, _running(pod))


def _running(pod: Obj) -> dict[str, Any]:
    at = timestamp(datetime.now(UTC))
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": at}
        for kind in ("PodScheduled", "ContainersReady", "Ready")
    ]
    containers = [
        {
            "name": each["name"],
            "image": each["image"],
            "imageID": f"docker.io/library/{each['name']}@sha256:{'c' * 64}",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": at}},
        }
        for each in pod["spec"]["containers"]
    ]
    return {"phase": "Running", "conditions": conditions, "containerStatuses": containers, "startTime": at}
