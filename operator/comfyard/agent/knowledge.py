"""Tells which node classes the ComfyUI beside us has, in a ConfigMap that the operator reads."""

import asyncio
import base64
import logging
from collections.abc import Mapping
from typing import Any

from comfyard.agent.server import NEEDED_CLASS, Server
from comfyard.comfyui.errors import AnswerError, ComfyError
from comfyard.kube.errors import ApiError, ConflictError, UnavailableError
from comfyard.kube.kinds import CONFIG_MAP
from comfyard.kube.protocol import KubeClient
from comfyard.workflow.reported_nodes import KEY, pack

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 10.0


async def report_nodes(client: KubeClient, server: Server, namespace: str, name: str) -> None:
    """Tell it once for each process of ComfyUI, until cancelled. That it cannot be told is no reason to stop anything.

    Args:
        client: The API server.
        server: The ComfyUI beside us.
        namespace: Of the server.
        name: Of the ConfigMap, which the operator makes; empty: nobody wants to know.
    """
    told = 0
    while True:
        process = server.feed.connections
        if name and server.usable and process != told:
            try:
                await _report(client, server, namespace, name)
                told = process
            except (ConflictError, UnavailableError, ComfyError) as error:
                log.warning("node classes are told again in %g s: %s", _AGAIN_SECONDS, error)
                await asyncio.sleep(_AGAIN_SECONDS)
            except ApiError as error:
                log.warning("node classes cannot be told in ConfigMap %s: %s", name, error)
                told = process
        await asyncio.sleep(_LOOK_SECONDS)


async def _report(client: KubeClient, server: Server, namespace: str, name: str) -> None:
    """Write what is not there yet. Other servers of the same image mostly have."""
    info = await server.comfy.all_object_info()
    if NEEDED_CLASS not in info:
        raise AnswerError(f"GET /object_info: no class {NEEDED_CLASS}")
    content = await _content(info)
    there = await client.get(CONFIG_MAP, name, namespace)
    if (there.get("binaryData") or {}).get(KEY) == content:
        log.info("ConfigMap %s has told the same node classes already", name)
        return
    patch = {"binaryData": {KEY: content}}
    await client.patch(CONFIG_MAP, name, namespace, patch, there["metadata"]["resourceVersion"])
    log.info("%d node classes are told in ConfigMap %s", len(info), name)


async def _content(info: Mapping[str, Any]) -> str | None:
    """The value in binaryData; None, which removes an older one, when it cannot be kept."""
    try:
        return base64.b64encode(await asyncio.to_thread(pack, info)).decode()
    except ValueError as error:
        log.warning("node classes are not told: %s", error)
        return None
