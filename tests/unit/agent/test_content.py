"""Which host a Secret may be sent to, and which jobs are this server's."""

from typing import Any

import pytest

from comfyard.agent.dispatcher import assigned_here
from comfyard.kube.secrets import refuse_host
from tests.builders import job

ASSIGNMENT = {"id": "one", "server": "s-1", "time": "2026-01-02T03:04:05Z"}


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


def test_an_assignment_to_this_server_is_worked_on() -> None:
    found = assigned_here(job({"assignment": ASSIGNMENT}), "s-1")
    assert found
    assert found.id == "one"


@pytest.mark.parametrize(
    "what",
    [
        job({"observedGeneration": 1}),
        job({"assignment": {**ASSIGNMENT, "server": "s-2"}}),
        job({"assignment": ASSIGNMENT}, suspend=True),
        job({"assignment": ASSIGNMENT}, {"deletionTimestamp": "2026-01-02T03:04:06Z"}),
    ],
)
def test_nothing_else_is_worked_on(what: Any) -> None:
    assert assigned_here(what, "s-1") is None
