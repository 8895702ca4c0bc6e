"""What is on the claim, left behind in a ConfigMap for `comfyard store`."""

import logging

from comfyard.kube.errors import ApiError
from comfyard.kube.kinds import CONFIG_MAP
from comfyard.kube.protocol import KubeClient
from comfyard.store.inventory import Inventory

log = logging.getLogger(__name__)

KEY = "inventory.json"

_FREE_MATTERS = 0.01
"""Part of the free bytes whose coming or going is worth a write."""


def read(data: object) -> Inventory | None:
    """The inventory in a ConfigMap's data; None when there is none, or an older one that says less."""
    content = data.get(KEY) if isinstance(data, dict) else None
    try:
        return Inventory.model_validate_json(content) if content else None
    except ValueError:
        return None


def is_news(before: Inventory | None, now: Inventory) -> bool:
    """Whether an inventory says something that the one before does not."""
    if before is None:
        return True
    moved = abs(now.free_bytes - before.free_bytes) > _FREE_MATTERS * before.free_bytes
    return moved or now.model_copy(update={"time": before.time, "free_bytes": before.free_bytes}) != before


async def publish(client: KubeClient, namespace: str, name: str, inventory: Inventory) -> None:
    """Write an inventory if it is news. That it cannot be written is no reason to stop anything.

    Args:
        client: The API server.
        namespace: Of the claim.
        name: Of the ConfigMap, which the operator makes.
        inventory: What is on the claim.
    """
    try:
        there = await client.get(CONFIG_MAP, name, namespace)
        if is_news(read(there.get("data")), inventory):
            content = {KEY: inventory.model_dump_json(by_alias=True)}
            await client.patch(CONFIG_MAP, name, namespace, {"data": content}, there["metadata"]["resourceVersion"])
    except ApiError as error:
        log.warning("cannot leave the inventory in ConfigMap %s: %s", name, error)
