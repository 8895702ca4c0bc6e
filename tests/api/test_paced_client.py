"""What the operator's client adds to a client, against a real API server."""

import asyncio

import pytest

from comfyard.kube.client import LightkubeClient
from comfyard.kube.errors import NotFoundError, NotLeadingError
from comfyard.kube.kinds import CONFIG_MAP
from comfyard.kube.paced_client import PacedClient
from comfyard.kube.rate_limit import Priority, RateLimiter

pytestmark = pytest.mark.api


def quick() -> RateLimiter:
    return RateLimiter(per_second=1000, burst=1000)


async def test_who_does_not_lead_reads_and_writes_nothing(kube: LightkubeClient, namespace: str) -> None:
    leads = True
    client = PacedClient(kube, quick(), lambda: leads)
    meta = {"name": "a", "namespace": namespace}
    made = await client.create(CONFIG_MAP, {"metadata": meta, "data": {"x": "1"}})
    leads = False
    version = made["metadata"]["resourceVersion"]
    writes = [
        client.apply(CONFIG_MAP, {"metadata": meta, "data": {"x": "2"}}),
        client.create(CONFIG_MAP, {"metadata": {**meta, "name": "b"}}),
        client.delete(CONFIG_MAP, "a", namespace),
        client.patch(CONFIG_MAP, "a", namespace, {"data": {"x": "2"}}, version),
        client.patch_status(CONFIG_MAP, "a", namespace, {}),
        client.json_patch_status(CONFIG_MAP, "a", namespace, []),
        client.at(Priority.DECISION).delete(CONFIG_MAP, "a", namespace),
    ]
    refused = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(error) for error in refused] == [NotLeadingError] * len(writes)
    assert await client.get(CONFIG_MAP, "a", namespace) == made
    with pytest.raises(NotFoundError):
        await client.get(CONFIG_MAP, "b", namespace)


async def test_the_right_to_write_is_asked_for_after_waiting(kube: LightkubeClient, namespace: str) -> None:
    leads = True
    limiter = RateLimiter(per_second=5, burst=1)
    client = PacedClient(kube, limiter, lambda: leads)
    await limiter.wait(Priority.NORMAL)
    late = asyncio.create_task(client.create(CONFIG_MAP, {"metadata": {"name": "a", "namespace": namespace}}))
    await asyncio.sleep(0)
    leads = False
    with pytest.raises(NotLeadingError):
        await late


async def test_writes_go_by_priority(kube: LightkubeClient, namespace: str) -> None:
    limiter = RateLimiter(per_second=20, burst=1)
    client = PacedClient(kube, limiter, lambda: True)
    await limiter.wait(Priority.NORMAL)
    wanted = [Priority.TEXT, Priority.NORMAL, Priority.DECISION]

    async def write(priority: Priority) -> int:
        meta = {"name": priority.name.lower(), "namespace": namespace}
        made = await client.at(priority).create(CONFIG_MAP, {"metadata": meta})
        return int(made["metadata"]["resourceVersion"])

    text, normal, decision = await asyncio.gather(*map(write, wanted))
    assert decision < normal < text
