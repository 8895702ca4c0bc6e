"""Which host a Secret may be sent to."""

from typing import Any

import pytest

from comfyard.kube.secrets import refuse_host


def secret(hosts: str | None) -> dict[str, Any]:
    annotations = {} if hosts is None else {"annotations": {"comfyard.io/hosts": hosts}}
    return {"metadata": {"name": "s3", **annotations}}


@pytest.mark.parametrize(
    ("hosts", "endpoint"),
    [
        ("minio", "http://minio:9000"),
        ("minio:9000", "http://minio:9000"),
        ("a.example , S3.Example.com", "https://s3.example.com"),
        ("s3.eu-west-1.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
    ],
)
def test_a_listed_host_may_have_the_secret(hosts: str, endpoint: str) -> None:
    assert refuse_host(secret(hosts), endpoint) == ""


@pytest.mark.parametrize(
    ("hosts", "endpoint"),
    [
        (None, "http://minio:9000"),
        ("", "http://minio:9000"),
        ("minio:9001", "http://minio:9000"),
        ("example.com", "https://s3.example.com"),
        ("s3.example.com", "https://s3.example.com.attacker.example"),
    ],
)
def test_no_other_host_may_have_it(hosts: str | None, endpoint: str) -> None:
    assert 'Secret "s3" may not be sent to' in refuse_host(secret(hosts), endpoint)
