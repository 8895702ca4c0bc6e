"""Objects of a real S3 server."""

from collections.abc import Iterator
from typing import Any

import obstore
import pytest

from comfyard.store import errors
from comfyard.store.http.credentials import Credential, Credentials, S3Keys
from comfyard.store.http.web import Web
from comfyard.store.origin import Origin
from comfyard.store.sources import origin_of
from tests.doubles.seaweed import BUCKET, READER, SECRET, Seaweed, running
from tests.unit.store.source_server import noise
from tests.unit.store.sourcing import NOWHERE, content_of, located, want

MODEL = noise(200_000)
PUBLIC = "public"
KEY = "models/a b+c%20d#e?f(1)[2]~.safetensors"


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with running(tmp_path_factory.mktemp("seaweed")) as server:
        server.create(PUBLIC)
        for bucket in (BUCKET, PUBLIC):
            obstore.put(server.client(bucket), KEY, MODEL)
            obstore.put(server.client(bucket), "empty", b"")
        yield server


@pytest.fixture
def web(seaweed: Seaweed) -> Iterator[Web]:
    with Web(keys(seaweed)) as made:
        yield made


def keys(seaweed: Seaweed, access_key: str = READER, secret_key: str = SECRET) -> Credentials:
    return Credentials([Credential((seaweed.endpoint,), s3=S3Keys(access_key, secret_key))])


def origin(seaweed: Seaweed, web: Web, **fields: Any) -> Origin:
    source = {"bucket": BUCKET, "key": KEY, "endpoint": seaweed.endpoint, **fields}
    return origin_of(want("s3", **source), web, NOWHERE, NOWHERE)


def test_an_object_comes_by_a_signed_address(seaweed: Seaweed, web: Web) -> None:
    remote = located(origin(seaweed, web))
    assert remote.size == len(MODEL)
    assert "X-Amz-Signature=" in remote.url
    assert SECRET not in remote.url
    assert "X-Amz" not in remote.shown + repr(remote)
    assert content_of(origin(seaweed, web), web) == MODEL
    assert content_of(origin(seaweed, web, key="empty"), web) == b""


def test_a_public_bucket_needs_no_keys(seaweed: Seaweed) -> None:
    with Web() as web:
        remote = located(origin(seaweed, web, bucket=PUBLIC))
        assert "?" not in remote.url
        assert content_of(origin(seaweed, web, bucket=PUBLIC), web) == MODEL


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bucket": "absent"}, "there is no bucket absent at .*; correct bucket .NoSuchBucket"),
        ({"key": "models/x"}, "there is no models/x of bucket results at .*; correct key .NoSuchKey"),
        ({"key": "models//x"}, "parts that are empty or dots"),
        ({"key": "../x"}, "parts that are empty or dots"),
    ],
)
def test_what_is_missing_is_named(seaweed: Seaweed, web: Web, fields: dict[str, str], message: str) -> None:
    with pytest.raises(errors.NotFoundError, match=message):
        located(origin(seaweed, web, **fields))


@pytest.mark.parametrize(
    ("access_key", "secret_key", "code"),
    [("UNKNOWN", SECRET, "InvalidAccessKeyId"), (READER, "not-the-secret", "SignatureDoesNotMatch")],
)
def test_wrong_keys_are_told_with_the_server_s_word(
    seaweed: Seaweed, web: Web, access_key: str, secret_key: str, code: str
) -> None:
    web.credentials = keys(seaweed, access_key, secret_key)
    with pytest.raises(
        errors.ForbiddenError, match=f"is refused .{code}.*; correct the keys in their Secret"
    ) as caught:
        located(origin(seaweed, web))
    assert secret_key not in str(caught.value)


def test_keys_for_another_host_are_not_used(seaweed: Seaweed) -> None:
    elsewhere = Credential(("s3.example.com",), s3=S3Keys(READER, SECRET))
    host = seaweed.endpoint.removeprefix("http://")
    with Web(Credentials([elsewhere])) as web, pytest.raises(errors.ForbiddenError) as caught:
        located(origin(seaweed, web))
    assert "AccessDenied" in str(caught.value)
    assert str(caught.value).endswith(f"whose annotation comfyard.io/hosts lists {host}")


def test_a_server_that_is_away_may_come_back(seaweed: Seaweed, web: Web) -> None:
    with pytest.raises(errors.UnreachableError):
        located(origin(seaweed, web, endpoint="http://127.0.0.1:1"))
