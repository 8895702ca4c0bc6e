"""Results read back from a real S3 server."""

from dataclasses import replace

import obstore
import pytest

from comfyard.outputs.s3 import Bucket, read_object
from comfyard.outputs.store import OutputError
from tests.doubles.seaweed import BUCKET, SECRET, WRITER, Seaweed


@pytest.fixture
def bucket(seaweed: Seaweed) -> Bucket:
    return Bucket(BUCKET, "", seaweed.endpoint, "us-east-1", WRITER, SECRET)


async def content(bucket: Bucket, path: str) -> bytes:
    return b"".join([bytes(piece) async for piece in read_object(bucket, path)])


async def refusal(bucket: Bucket, path: str) -> OutputError:
    with pytest.raises(OutputError) as caught:
        await content(bucket, path)
    return caught.value


async def test_an_object_comes_back_whole(seaweed: Seaweed, bucket: Bucket) -> None:
    written = bytes(range(256)) * 65536
    await obstore.put_async(seaweed.client(), "films/a b.mp4", written)
    assert await content(bucket, "films/a b.mp4") == written


async def test_a_prefix_is_part_of_the_key(seaweed: Seaweed, bucket: Bucket) -> None:
    await obstore.put_async(seaweed.client(), "renders/a.png", b"picture")
    assert await content(replace(bucket, prefix="renders"), "renders/a.png") == b"picture"


async def test_an_object_that_is_gone_is_named(bucket: Bucket) -> None:
    error = await refusal(bucket, "gone.png")
    assert str(error).startswith(
        f"bucket {BUCKET} at {bucket.endpoint} has no gone.png; correct the key, or see who has deleted it: NoSuchKey"
    )
    assert not error.transient


async def test_a_wrong_key_is_to_be_corrected_and_not_shown(bucket: Bucket) -> None:
    error = await refusal(replace(bucket, secret_key="not-the-secret"), "x")  # noqa: S106
    assert "correct its keys in the Secret, or give them the right to get objects" in str(error)
    assert "not-the-secret" not in str(error)
    assert not error.transient


async def test_a_server_that_is_away_may_come_back(bucket: Bucket) -> None:
    error = await refusal(replace(bucket, endpoint="http://127.0.0.1:1"), "x")
    assert "see whether it can be reached from here" in str(error)
    assert error.transient
