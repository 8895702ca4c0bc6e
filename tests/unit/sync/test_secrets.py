import base64
import json
from typing import Any

import pytest

from comfyard.store.http.credentials import Credentials, S3Keys
from comfyard.sync.secrets import credential_of

TOKEN = "hf_do-not-show-this"  # noqa: S105 - made up


def secret(hosts: str | None = "huggingface.co", **data: str) -> dict[str, Any]:
    annotations = {"comfyard.io/hosts": hosts} if hosts is not None else {}
    encoded = {key.replace("_dot_", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"name": "s", "annotations": annotations}, "data": encoded}


def test_a_token_for_the_hosts_of_the_annotation() -> None:
    found = credential_of(secret("huggingface.co, *.example.com:8443,", key=f"{TOKEN}\n"), "key")
    assert found.hosts == ("huggingface.co", "*.example.com:8443")
    headers = Credentials([found]).headers_for("https://huggingface.co/x")
    assert headers == {"Authorization": f"Bearer {TOKEN}"}
    assert Credentials([found]).headers_for("https://civitai.com/x") == {}
    assert TOKEN not in repr(found)


def test_keys_of_s3() -> None:
    data = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": TOKEN}
    keys = Credentials([credential_of(secret(**data), None)]).s3_keys_for("https://huggingface.co")
    assert keys == S3Keys("id", TOKEN)
    assert credential_of(secret(**data, AWS_SESSION_TOKEN=TOKEN), None).s3 == S3Keys("id", TOKEN, TOKEN)


def test_a_user_and_a_password() -> None:
    found = credential_of(secret(username="u", password=TOKEN), None)
    basic = Credentials([found]).basic_for("https://huggingface.co")
    assert basic
    assert (basic.username, basic.password) == ("u", TOKEN)


def test_what_docker_writes_goes_to_the_hosts_of_the_annotation_only() -> None:
    auth = base64.b64encode(f"u:{TOKEN}".encode()).decode()
    config = json.dumps({"auths": {"registry.example.com": {"auth": auth}, "other.example.com": {"auth": auth}}})
    found = Credentials([credential_of(secret("registry.example.com", _dot_dockerconfigjson=config), None)])
    basic = found.basic_for("https://registry.example.com")
    assert basic
    assert basic.password == TOKEN
    assert found.basic_for("https://other.example.com") is None


@pytest.mark.parametrize(
    ("found", "key", "why"),
    [
        (secret(None, key=TOKEN), "key", "may go to no host: its owner must annotate it with comfyard.io/hosts"),
        (secret(" , ", key=TOKEN), "key", "may go to no host"),
        (secret("https://h/path", key=TOKEN), "key", "names no host"),
        (secret(other=TOKEN), "key", "has no key key"),
        (secret(key=" \n"), "key", "has nothing in its key key"),
        (secret(key=f"{TOKEN} and more"), "key", "the token holds blanks"),
        (secret(token=TOKEN), None, "name its key in secretRef.key"),
        (secret(AWS_ACCESS_KEY_ID=TOKEN), None, "has neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (secret(_dot_dockerconfigjson=TOKEN), None, ".dockerconfigjson is not as docker writes it"),
        ({**secret(), "data": {"key": "_not base64_"}}, "key", "has no text in its key key"),
        ({**secret(), "data": None}, "key", "has no key key"),
    ],
)
def test_a_secret_of_no_use_says_why_and_nothing_of_itself(found: dict[str, Any], key: str | None, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        credential_of(found, key)
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None
