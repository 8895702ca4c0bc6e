"""Results in S3, with a Secret that its owner has to allow."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from comfyard.kube.kinds import SECRET
from tests.doubles.seaweed import BUCKET, WRITER, Seaweed, running
from tests.doubles.seaweed import SECRET as KEY
from tests.unit.agent.harness import Studio

pytestmark = pytest.mark.api


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with running(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


async def make_secret(studio: Studio, hosts: str, **data: str) -> None:
    values = {"AWS_ACCESS_KEY_ID": WRITER, "AWS_SECRET_ACCESS_KEY": KEY, **data}
    meta = {"name": "s3", "namespace": studio.namespace, "annotations": {"comfyard.io/hosts": hosts}}
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in values.items() if value}
    await studio.kube.create(SECRET, {"metadata": meta, "data": encoded})


def output(seaweed: Seaweed) -> dict[str, Any]:
    s3 = {"bucket": BUCKET, "prefix": "renders", "endpoint": seaweed.endpoint, "secretRef": {"name": "s3"}}
    return {"output": {"s3": s3}}


async def test_files_go_to_the_bucket(studio: Studio, seaweed: Seaweed) -> None:
    await make_secret(studio, "example.com, 127.0.0.1")
    studio.agent.start(RESULTS_CLAIM="")
    uid = await studio.order(**output(seaweed))
    [result] = (await studio.end_of_attempt()).status.outputs
    key = f"renders/{studio.namespace}/lighthouse-{uid[:8]}/image-000.png"
    assert result.uri == f"s3://{BUCKET}/{key}"
    content, content_type = seaweed.read(key)
    assert (len(content), content_type) == (result.bytes, "image/png")


async def test_a_secret_goes_only_where_its_owner_lets_it(studio: Studio, seaweed: Seaweed) -> None:
    await make_secret(studio, "s3.example.com")
    studio.agent.start()
    await studio.order(**output(seaweed))
    [attempt] = (await studio.end_of_attempt()).status.attempts
    host = seaweed.endpoint.removeprefix("http://")
    assert attempt.failure_class == "OutputFailed"
    assert attempt.message == (
        f'Secret "s3" may not be sent to {host}: its annotation comfyard.io/hosts lists s3.example.com; '
        "its owner can add it"
    )


async def test_a_missing_secret_is_named(studio: Studio, seaweed: Seaweed) -> None:
    studio.agent.start()
    await studio.order(**output(seaweed))
    [attempt] = (await studio.end_of_attempt()).status.attempts
    assert attempt.message == 'Secret "s3" (status.output.s3.secretRef) does not exist; create it'


async def test_a_missing_key_is_named(studio: Studio, seaweed: Seaweed) -> None:
    await make_secret(studio, "127.0.0.1", AWS_SECRET_ACCESS_KEY="")
    studio.agent.start()
    await studio.order(**output(seaweed))
    [attempt] = (await studio.end_of_attempt()).status.attempts
    assert attempt.message == 'Secret "s3" has no usable key AWS_SECRET_ACCESS_KEY; add it'
