"""Results in a real S3 server."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from comfyard.outputs.s3 import Bucket, S3Store
from comfyard.outputs.store import OutputError, put_patiently
from tests.doubles.seaweed import BUCKET, READER, SECRET, WRITER, Seaweed

KEY = "studio/lighthouse-3c8f8a54/image-000.png"


@pytest.fixture
def bucket(seaweed: Seaweed) -> Bucket:
    return Bucket(BUCKET, "renders/2026", seaweed.endpoint, "us-east-1", WRITER, SECRET)


async def refusal(bucket: Bucket, file: io.BufferedReader) -> OutputError:
    with pytest.raises(OutputError) as caught:
        await S3Store(bucket).put(KEY, file, "image/png")
    return caught.value


async def test_an_object_has_content_type_and_uri(seaweed: Seaweed, bucket: Bucket, picture: io.BufferedReader) -> None:
    uri = await S3Store(bucket).put(KEY, picture, "image/png")
    assert uri == f"s3://{BUCKET}/renders/2026/{KEY}"
    picture.seek(0)
    assert seaweed.read(f"renders/2026/{KEY}") == (picture.read(), "image/png")


async def test_a_repeat_overwrites_with_itself(seaweed: Seaweed, bucket: Bucket, picture: io.BufferedReader) -> None:
    store = S3Store(bucket)
    assert await store.put(KEY, picture, "image/png") == await store.put(KEY, picture, "image/png")
    picture.seek(0)
    assert seaweed.read(f"renders/2026/{KEY}")[0] == picture.read()


async def test_a_large_file_arrives_whole(seaweed: Seaweed, bucket: Bucket, tmp_path: Path) -> None:
    content = bytes(range(256)) * 65536
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with path.open("rb") as file:
        await S3Store(replace(bucket, prefix="")).put("a/film.mp4", file, "video/mp4")
    assert seaweed.read("a/film.mp4") == (content, "video/mp4")


async def test_slashes_around_a_prefix_do_not_matter(bucket: Bucket, picture: io.BufferedReader) -> None:
    store = S3Store(replace(bucket, prefix="/renders//2026/"))
    assert await store.put(KEY, picture, "image/png") == f"s3://{BUCKET}/renders/2026/{KEY}"


async def test_a_bucket_that_is_not_there_is_to_be_created(bucket: Bucket, picture: io.BufferedReader) -> None:
    error = await refusal(replace(bucket, name="absent"), picture)
    assert "bucket absent at http" in str(error)
    assert "does not exist; create it: NoSuchBucket" in str(error)
    assert not error.transient


async def test_keys_without_the_right_are_told_so(bucket: Bucket, picture: io.BufferedReader) -> None:
    error = await refusal(replace(bucket, access_key=READER), picture)
    assert "give them the right to put objects: AccessDenied" in str(error)
    assert not error.transient


async def test_a_wrong_key_is_to_be_corrected_and_not_shown(bucket: Bucket, picture: io.BufferedReader) -> None:
    error = await refusal(replace(bucket, secret_key="not-the-secret"), picture)  # noqa: S106
    assert "correct its keys in the Secret" in str(error)
    assert "not-the-secret" not in str(error) + repr(bucket)


async def test_a_prefix_may_not_climb(bucket: Bucket, picture: io.BufferedReader) -> None:
    error = await refusal(replace(bucket, prefix="../other"), picture)
    assert "correct the prefix" in str(error)
    assert not error.transient


async def test_a_server_that_is_away_may_come_back(bucket: Bucket, picture: io.BufferedReader) -> None:
    error = await refusal(replace(bucket, endpoint="http://127.0.0.1:1"), picture)
    assert "see whether it can be reached" in str(error)
    assert error.transient


async def test_patience_has_a_bound(bucket: Bucket, picture: io.BufferedReader) -> None:
    with pytest.raises(OutputError, match="can be reached"):
        await put_patiently(S3Store(replace(bucket, endpoint="http://127.0.0.1:1")), KEY, picture, "image/png", 1)
