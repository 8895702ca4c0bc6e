"""Who may see which secret."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.store.http.credentials import (
    Basic,
    Credential,
    Credentials,
    HostEntry,
    S3Keys,
    docker_credential,
    place_of,
)

SECRET = "a-secret-of-a-test"  # noqa: S105
TOKEN = {"Authorization": f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("entry", "url", "sent"),
    [
        ("hub.example", "https://hub.example/x", True),
        ("hub.example", "https://HUB.example:443/x", True),
        ("hub.example", "https://hub.example./x", True),
        ("HUB.example", "https://hub.example/x", True),
        ("https://hub.example", "https://hub.example/x", True),
        ("hub.example", "https://hub.example:8443/x", False),
        ("hub.example", "http://hub.example/x", False),
        ("hub.example", "http://hub.example:443/x", False),
        ("hub.example", "https://cdn.hub.example/x", False),
        ("hub.example", "https://hub.example.evil/x", False),
        ("hub.example", "https://evilhub.example/x", False),
        ("hub.example", "https://hub.example@evil/x", False),
        ("hub.example", "https://evil/hub.example", False),
        ("hub.example", "https://evil\\@hub.example/x", False),
        ("hub.example", "ftp://hub.example/x", False),
        ("hub.example", "nonsense", False),
        ("hub.example:8443", "https://hub.example:8443/x", True),
        ("hub.example:8443", "https://hub.example/x", False),
        ("hub.example:80", "http://hub.example/x", False),
        ("*.example", "https://hub.example/x", True),
        ("*.example", "https://a.hub.example/x", True),
        ("*.example", "https://example/x", False),
        ("*.example", "https://hub.evilexample/x", False),
        ("*.example", "http://hub.example/x", False),
        ("*.example:8443", "https://hub.example:8443/x", True),
        ("http://hub.example", "http://hub.example/x", True),
        ("http://hub.example", "https://hub.example/x", False),
        ("http://hub.example:5000", "http://hub.example:5000/x", True),
        ("http://hub.example:5000", "http://hub.example/x", False),
        ("http://*.svc", "http://minio.svc/x", True),
        ("[::1]:8443", "https://[::1]:8443/x", True),
        ("127.0.0.1", "https://127.0.0.1/x", True),
    ],
)
def test_who_is_named_sees_it_and_nobody_else(entry: str, url: str, sent: bool) -> None:  # noqa: FBT001 - a parameter
    credentials = Credentials([Credential((entry,), token=SECRET)])
    assert credentials.headers_for(url) == (TOKEN if sent else {})


@pytest.mark.parametrize(
    "entry", ["", "*", "*.", "a b", "a/b", "http://", "ftp://a", "a:b", "user@a", "a:123456", "-a"]
)
def test_what_names_no_host_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="names no host"):
        HostEntry.parse(entry)


@given(st.text(max_size=40))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    try:
        HostEntry.parse(text)
    except ValueError:
        return


@given(st.text(alphabet="ab.@:/\\?#[]%* ", max_size=20))
def test_only_the_host_that_is_connected_to_counts(text: str) -> None:
    url = f"https://{text}"
    if Credentials([Credential(("b.a",), token=SECRET)]).headers_for(url):
        assert place_of(url) == ("https", "b.a", 443)


def test_the_most_exact_one_counts() -> None:
    wide, narrow, exact = (
        Credential(hosts, token=name)
        for hosts, name in [(("*.example",), "wide"), (("*.hub.example",), "narrow"), (("a.hub.example",), "exact")]
    )
    credentials = Credentials([wide, narrow, exact])
    found = [credentials.headers_for(f"https://{host}")["Authorization"] for host in ("b.example", "b.hub.example")]
    assert found == ["Bearer wide", "Bearer narrow"]
    assert credentials.headers_for("https://a.hub.example") == {"Authorization": "Bearer exact"}


def test_each_kind_is_for_its_own_use() -> None:
    hosts = ("h.example",)
    url = "https://h.example/x"
    keys = S3Keys("id", SECRET)
    basic = Basic("me", SECRET)
    assert Credentials([Credential(hosts, s3=keys)]).s3_keys_for(url) == keys
    assert Credentials([Credential(hosts, s3=keys)]).headers_for(url) == {}
    assert Credentials([Credential(hosts, s3=keys)]).s3_keys_for("https://other.example") is None
    encoded = base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert Credentials([Credential(hosts, basic=basic)]).headers_for(url) == {"Authorization": f"Basic {encoded}"}
    assert Credentials([Credential(hosts, basic=basic)]).basic_for(url) == basic
    assert Credentials([Credential(hosts, token=SECRET)]).basic_for(url) is None
    assert Credentials().headers_for(url) == {}


def test_what_docker_knows_is_for_registries_only() -> None:
    auth = base64.b64encode(f"me:{SECRET}".encode()).decode()
    config = json.dumps(
        {
            "auths": {
                "r.example:5000": {"auth": auth},
                "https://index.docker.io/v1/": {"username": "you", "password": SECRET},
            }
        }
    )
    credentials = Credentials([docker_credential(config)])
    assert credentials.basic_for("https://r.example:5000/v2/") == Basic("me", SECRET)
    assert credentials.basic_for("https://registry-1.docker.io/v2/") == Basic("you", SECRET)
    assert credentials.basic_for("http://r.example:5000/v2/") is None
    assert credentials.basic_for("https://r.example/v2/") is None
    assert credentials.headers_for("https://r.example:5000/v2/") == {}
    allowed = Credentials([docker_credential(config, ("http://r.example:5000",))])
    assert allowed.basic_for("http://r.example:5000/v2/") == Basic("me", SECRET)
    assert allowed.basic_for("https://r.example:5000/v2/") is None


@pytest.mark.parametrize(
    "config", ["", "{}", "[]", '{"auths": 1}', '{"auths": {"a": {}}}', '{"auths": {"a": {"auth": 1}}}']
)
def test_what_docker_does_not_write_is_refused(config: str) -> None:
    with pytest.raises(ValueError, match="dockerconfigjson"):
        docker_credential(config)


def test_a_token_that_no_header_may_hold_is_refused_without_being_shown() -> None:
    assert Credentials([Credential(("a",), token=f" {SECRET}\n")]).headers_for("https://a") == TOKEN
    for token in (f"{SECRET}\n{SECRET}", f"{SECRET} x", f"{SECRET}é"):
        with pytest.raises(ValueError, match="the token holds") as caught:
            Credential(("a",), token=token)
        assert SECRET not in str(caught.value)


def test_nothing_secret_is_in_a_repr() -> None:
    credential = Credential(
        ("a",),
        token=SECRET,
        basic=Basic("me", SECRET),
        s3=S3Keys("id", SECRET, SECRET),
        registries={"a": Basic("me", SECRET)},
    )
    for shown in (credential, Credentials([credential]), credential.basic, credential.s3):
        assert SECRET not in repr(shown)
        assert SECRET not in str(shown)
    assert repr(credential) == "Credential(hosts=('a',))"
