"""Our client against a real API server: what it sends, and how refusals come back."""

import asyncio
from typing import Any

import pytest

from comfyard.kube import errors
from comfyard.kube.client import LightkubeClient
from comfyard.kube.informer import Informer
from comfyard.kube.kinds import GENERATION_JOB, HARDWARE_PROFILE, SERVICE_ACCOUNT, name_of

pytestmark = pytest.mark.api


def job(namespace: str, name: str = "a") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"name": "t"}, "profiles": ["p"]},
    }


ASSIGNED = {"assignment": {"id": "one", "server": "s", "time": "2026-01-02T03:04:05Z"}}


async def test_an_object_comes_back_with_its_defaults(kube: LightkubeClient, namespace: str) -> None:
    made = await kube.create(GENERATION_JOB, job(namespace))
    assert made["spec"]["count"] == 1
    assert made == await kube.get(GENERATION_JOB, "a", namespace)


async def test_what_exists_is_not_created_twice(kube: LightkubeClient, namespace: str) -> None:
    await kube.create(GENERATION_JOB, job(namespace))
    with pytest.raises(errors.ConflictError):
        await kube.create(GENERATION_JOB, job(namespace))


async def test_what_is_not_there_is_not_found(kube: LightkubeClient, namespace: str) -> None:
    with pytest.raises(errors.NotFoundError):
        await kube.get(GENERATION_JOB, "gone", namespace)
    with pytest.raises(errors.NotFoundError):
        await kube.delete(GENERATION_JOB, "gone", namespace)


async def test_the_schema_is_the_api_servers_word(kube: LightkubeClient, namespace: str) -> None:
    wrong = job(namespace)
    wrong["spec"]["profiles"] = []
    with pytest.raises(errors.InvalidError, match="at least 1 items") as caught:
        await kube.create(GENERATION_JOB, wrong)
    assert not isinstance(caught.value, errors.TestFailedError)


async def test_applying_twice_changes_nothing(kube: LightkubeClient, namespace: str) -> None:
    account = {"metadata": {"name": "a", "namespace": namespace, "labels": {"x": "y"}}}
    first = await kube.apply(SERVICE_ACCOUNT, account)
    second = await kube.apply(SERVICE_ACCOUNT, account)
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


async def test_a_status_planned_from_an_old_version_is_refused(kube: LightkubeClient, namespace: str) -> None:
    made = await kube.create(GENERATION_JOB, job(namespace))
    version = made["metadata"]["resourceVersion"]
    await kube.patch_status(GENERATION_JOB, "a", namespace, {"message": "first"}, version)
    with pytest.raises(errors.ConflictError):
        await kube.patch_status(GENERATION_JOB, "a", namespace, {"message": "second"}, version)


async def test_a_finalizer_planned_from_an_old_version_is_refused(kube: LightkubeClient, namespace: str) -> None:
    made = await kube.create(GENERATION_JOB, job(namespace))
    version = made["metadata"]["resourceVersion"]
    finalizer = {"metadata": {"finalizers": ["comfyard.io/test"]}}
    held = await kube.patch(GENERATION_JOB, "a", namespace, finalizer, version)
    assert held["metadata"]["finalizers"] == ["comfyard.io/test"]
    free: dict[str, Any] = {"metadata": {"finalizers": []}}
    with pytest.raises(errors.ConflictError):
        await kube.patch(GENERATION_JOB, "a", namespace, free, version)
    await kube.patch(GENERATION_JOB, "a", namespace, free, held["metadata"]["resourceVersion"])
    with pytest.raises(errors.NotFoundError):
        await kube.patch(GENERATION_JOB, "gone", namespace, free, version)


async def test_a_deletion_planned_from_an_old_version_is_refused(kube: LightkubeClient, namespace: str) -> None:
    made = (await kube.create(GENERATION_JOB, job(namespace)))["metadata"]
    changed = (await kube.patch_status(GENERATION_JOB, "a", namespace, {"message": "changed"}))["metadata"]
    with pytest.raises(errors.ConflictError):
        await kube.delete(GENERATION_JOB, "a", namespace, uid=made["uid"], version=made["resourceVersion"])
    with pytest.raises(errors.ConflictError):
        await kube.delete(GENERATION_JOB, "a", namespace, uid="another", version=changed["resourceVersion"])
    await kube.delete(GENERATION_JOB, "a", namespace, uid=made["uid"], version=changed["resourceVersion"])
    with pytest.raises(errors.NotFoundError):
        await kube.delete(GENERATION_JOB, "a", namespace, uid=made["uid"], version=changed["resourceVersion"])


async def test_who_has_lost_the_assignment_cannot_write(kube: LightkubeClient, namespace: str) -> None:
    await kube.create(GENERATION_JOB, job(namespace))
    await kube.patch_status(GENERATION_JOB, "a", namespace, ASSIGNED)

    async def write(assignment: str) -> None:
        test = {"op": "test", "path": "/status/assignment/id", "value": assignment}
        change = {"op": "add", "path": "/status/message", "value": assignment}
        await kube.json_patch_status(GENERATION_JOB, "a", namespace, [test, change])

    await write("one")
    with pytest.raises(errors.TestFailedError):
        await write("two")
    assert (await kube.get(GENERATION_JOB, "a", namespace))["status"]["message"] == "one"


async def test_a_cluster_scoped_kind_has_no_namespace(kube: LightkubeClient, namespace: str) -> None:
    profile = {"metadata": {"name": namespace}, "spec": {"server": {"image": "i"}}}
    await kube.create(HARDWARE_PROFILE, profile)
    assert namespace in {name_of(p) for p in (await kube.list(HARDWARE_PROFILE)).items}
    await kube.delete(HARDWARE_PROFILE, namespace)


async def test_an_informer_sees_jobs_enter_and_leave_its_selection(kube: LightkubeClient, namespace: str) -> None:
    informer = Informer(kube, GENERATION_JOB, namespace, fields={"status.assignment.server": "s"})
    following = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(20):
            await informer.synced.wait()
            assert informer.objects == {}
            await kube.create(GENERATION_JOB, job(namespace))
            await kube.patch_status(GENERATION_JOB, "a", namespace, ASSIGNED)
            while "a" not in informer.objects:
                await informer.changed()
            await kube.patch_status(GENERATION_JOB, "a", namespace, {"assignment": None})
            while "a" in informer.objects:
                await informer.changed()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_an_api_server_that_is_not_there_is_unavailable(tmp_path: Any, control_plane: Any) -> None:
    text = control_plane.kubeconfig.read_text().replace(control_plane.server, "https://127.0.0.1:1")
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    client = LightkubeClient.from_kubeconfig(path, "tests")
    with pytest.raises(errors.UnavailableError):
        await client.list(GENERATION_JOB)
    await client.close()
