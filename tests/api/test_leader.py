"""The election against a real API server, with a Lease that is quicker than the operator's."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from comfyard.kube.client import LightkubeClient
from comfyard.kube.kinds import LEASE, Obj
from comfyard.kube.lease import Terms, holder
from comfyard.runtime.leader import LEASE_NAME, Election, seconds_since_boot
from hack.cluster.control_plane import ControlPlane
from tests.unit.agent.harness import Cable

pytestmark = pytest.mark.api

QUICK = Terms(duration=5, deadline=4, renew_every=0.2, look_every=0.1, request=1.5)


class Lease:
    """The Lease of one test."""

    def __init__(self, kube: LightkubeClient, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    def election(self, name: str, client: LightkubeClient | None = None) -> Election:
        return Election(client or self.kube, self.namespace, name, QUICK)

    async def read(self) -> Obj:
        return await self.kube.get(LEASE, LEASE_NAME, self.namespace)

    async def change(self, **change: object) -> None:
        version = (await self.read())["metadata"]["resourceVersion"]
        await self.kube.patch(LEASE, LEASE_NAME, self.namespace, change, version)

    async def until(self, wanted: Callable[[Obj], bool]) -> Obj:
        found = await self.kube.list(LEASE, self.namespace)
        if found.items and wanted(found.items[0]):
            return found.items[0]
        async with asyncio.timeout(10):
            async for event in self.kube.watch(LEASE, self.namespace, resource_version=found.resource_version):
                if event.type != "DELETED" and wanted(event.object):
                    return event.object
        raise AssertionError("the watch has ended")

    async def until_renewed(self) -> None:
        """Wait for a renewal that is asked for after this call."""
        at = (await self.read())["spec"]["renewTime"]
        second = (await self.until(lambda lease: lease["spec"]["renewTime"] > at))["spec"]["renewTime"]
        await self.until(lambda lease: lease["spec"]["renewTime"] > second)


@pytest.fixture
def lease(kube: LightkubeClient, namespace: str) -> Lease:
    return Lease(kube, namespace)


@contextlib.asynccontextmanager
async def held(election: Election) -> AsyncIterator["asyncio.Task[None]"]:
    """Take the Lease and renew it; gives the task that ends when it is lost."""
    await election.lead()
    task = asyncio.create_task(election.until_lost())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_one_of_three_leads_and_the_next_one_when_it_gives_back(lease: Lease) -> None:
    elections = {asyncio.create_task(e.lead()): e for e in map(lease.election, "abc")}
    led = []
    while elections:
        done, _ = await asyncio.wait(elections, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        leader = elections.pop(done.pop())
        assert not any(other.leads() for other in elections.values())
        led.append(holder(await lease.read()))
        await leader.give_back()
        assert not leader.leads()
    assert sorted(led) == ["a", "b", "c"]
    found = await lease.read()
    assert holder(found) == ""
    assert found["spec"]["leaseTransitions"] == 2


async def test_a_dead_ones_lease_is_taken_when_it_is_over_and_not_before(lease: Lease) -> None:
    dead = lease.election("dead")
    await dead.lead()
    began = seconds_since_boot()
    other = lease.election("other")
    await other.lead()
    assert QUICK.duration <= seconds_since_boot() - began < 2 * QUICK.duration
    assert not dead.leads()
    assert other.leads()


async def test_a_container_that_was_restarted_goes_on_at_once(lease: Lease) -> None:
    await lease.election("comfyard-0").lead()
    began = time.monotonic()
    await lease.election("comfyard-0").lead()
    assert time.monotonic() - began < QUICK.duration / 2
    assert (await lease.read())["spec"]["leaseTransitions"] == 0


async def test_who_renews_keeps_it_and_others_wait(lease: Lease) -> None:
    election, other = lease.election("a"), lease.election("b")
    async with held(election) as lost:
        waits = asyncio.create_task(other.lead())
        began = seconds_since_boot()
        while seconds_since_boot() < began + QUICK.duration + 0.5:  # longer than a Lease that nobody renews
            await lease.until_renewed()
            assert election.leads()
        assert not lost.done()
        assert not other.leads()
        assert not waits.done()
    await election.give_back()
    await waits


async def test_somebody_else_may_write_on_it(lease: Lease) -> None:
    election = lease.election("a")
    async with held(election) as lost:
        await lease.change(metadata={"labels": {"team": "video"}})
        await lease.until_renewed()
        assert election.leads()
        assert not lost.done()
    assert (await lease.read())["metadata"]["labels"] == {"team": "video"}


async def test_a_lease_that_is_deleted_comes_back(lease: Lease) -> None:
    election = lease.election("a")
    async with held(election) as lost:
        uid = (await lease.read())["metadata"]["uid"]
        await lease.kube.delete(LEASE, LEASE_NAME, lease.namespace)
        await lease.until(lambda found: found["metadata"]["uid"] != uid)
        assert not lost.done()


async def test_who_finds_another_ones_name_stops_at_once(lease: Lease) -> None:
    election = lease.election("a")
    async with held(election) as lost:
        began = time.monotonic()
        await lease.change(spec={"holderIdentity": "b"})
        await lost
        assert time.monotonic() - began < QUICK.deadline
        assert not election.leads()
        await election.give_back()
    assert holder(await lease.read()) == "b"


@contextlib.asynccontextmanager
async def by_cable(plane: ControlPlane, folder: Path) -> AsyncIterator[tuple[LightkubeClient, Cable]]:
    """A client with a connection of its own to the API server, that can be pulled."""
    cable = Cable(int(plane.server.rpartition(":")[2]))
    await cable.plug()
    path = folder / "kubeconfig"
    path.write_text(plane.kubeconfig.read_text().replace(plane.server, f"https://127.0.0.1:{cable.port}"))
    client = LightkubeClient.from_kubeconfig(path, "tests")
    try:
        yield client, cable
    finally:
        await client.close()
        cable.pull()


async def test_without_an_api_server_it_stops_before_another_one_may_begin(
    lease: Lease, control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with by_cable(control_plane, tmp_path) as (client, cable):
        election, other = lease.election("a", client), lease.election("b")
        async with held(election) as lost:
            waits = asyncio.create_task(other.lead())
            await lease.until_renewed()
            cable.pull()
            await lost
            assert not election.leads()
            assert not other.leads()
            await waits
        await election.give_back()  # says nothing, and takes nothing from the other
    assert holder(await lease.read()) == "b"


async def test_a_short_interruption_does_not_matter(lease: Lease, control_plane: ControlPlane, tmp_path: Path) -> None:
    async with by_cable(control_plane, tmp_path) as (client, cable):
        election = lease.election("a", client)
        async with held(election) as lost:
            await lease.until_renewed()
            cable.pull()
            await cable.plug()
            await lease.until_renewed()
            assert election.leads()
            assert not lost.done()
