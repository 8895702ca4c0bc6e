"""Files from Hugging Face."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from comfyard.store import errors
from comfyard.store.http.web import Web
from comfyard.store.origin import Origin
from comfyard.store.sources import origin_of
from tests.doubles.hugging_face import HuggingFace, Repo, running
from tests.unit.store.source_server import safetensors, sha256
from tests.unit.store.sourcing import NOWHERE, TOKEN, content_of, located, want, with_token

MODEL = safetensors(300_000)
REPO = "studio/models"
FILE = "split files/model (1).safetensors"


@pytest.fixture
def hub() -> Iterator[HuggingFace]:
    with running() as server:
        server.tokens = {TOKEN}
        server.repos[REPO] = Repo(lfs={FILE: MODEL}, small={"config.json": b"{}"})
        yield server


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as made:
        yield made


def origin(hub: HuggingFace, web: Web, **fields: Any) -> Origin:
    source = {"repo": REPO, "file": FILE, "endpoint": hub.base, **fields}
    return origin_of(want("huggingFace", **source), web, NOWHERE, NOWHERE)


def test_a_large_file_comes_from_the_cdn_with_its_digest(hub: HuggingFace, web: Web) -> None:
    web.credentials = with_token(hub.base)
    remote = located(origin(hub, web))
    assert (remote.size, remote.sha256) == (len(MODEL), sha256(MODEL))
    assert f"/resolve/{hub.repos[REPO].commit}/" in remote.url
    assert content_of(origin(hub, web), web) == MODEL
    assert hub.record.sent("Authorization") == [f"Bearer {TOKEN}"] * 3
    assert all(agent and agent.startswith("comfyard/") for agent in hub.record.sent("User-Agent"))
    assert hub.cdn.record.sent("Authorization") == [None]


def test_a_small_file_has_no_digest_there(hub: HuggingFace, web: Web) -> None:
    web.credentials = with_token(hub.base)
    one = origin(hub, web, file="config.json")
    assert located(one).sha256 is None
    assert content_of(one, web) == b"{}"
    assert hub.record.holds(TOKEN)


@pytest.mark.parametrize("revision", ["v1", "main"])
def test_any_revision_leads_to_its_commit(hub: HuggingFace, web: Web, revision: str) -> None:
    assert hub.repos[REPO].commit in located(origin(hub, web, revision=revision)).url


def test_a_repository_that_has_moved_is_found(hub: HuggingFace, web: Web) -> None:
    hub.repos["studio/old"] = Repo(moved_to=REPO)
    assert content_of(origin(hub, web, repo="studio/old"), web) == MODEL


def test_a_mirror_may_be_below_a_path(hub: HuggingFace, web: Web) -> None:
    assert content_of(origin(hub, web, endpoint=f"{hub.base}/hub/"), web) == MODEL


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"revision": "v2"}, "studio/models has no revision v2; correct revision"),
        ({"file": "x.bin"}, "studio/models has no x.bin at revision main; correct file"),
        ({"repo": "a--b/c..d"}, "no repository can be called a--b/c..d; correct repo"),
    ],
)
def test_what_is_missing_is_named(hub: HuggingFace, web: Web, fields: dict[str, str], message: str) -> None:
    with pytest.raises(errors.NotFoundError) as caught:
        located(origin(hub, web, **fields))
    assert str(caught.value) == message


def test_a_gate_names_the_page_where_to_agree(hub: HuggingFace, web: Web) -> None:
    hub.repos[REPO].gated = True
    host = hub.base.removeprefix("http://")
    with pytest.raises(errors.LicenceRequiredError) as caught:
        located(origin(hub, web))
    assert f"agree to its terms at {hub.base}/{REPO} and name a Secret" in str(caught.value)
    assert str(caught.value).endswith(f"lists {host}")
    web.credentials = with_token(hub.base)
    with pytest.raises(errors.LicenceRequiredError, match="with the account of the token") as caught:
        located(origin(hub, web))
    assert TOKEN not in str(caught.value)
    hub.repos[REPO].members = {TOKEN}
    assert content_of(origin(hub, web), web) == MODEL


def test_a_private_repository_needs_the_right_token(hub: HuggingFace, web: Web) -> None:
    hub.repos[REPO].private = True
    with pytest.raises(errors.UnauthorizedError, match="is not there, or private; correct repo, or name a Secret"):
        located(origin(hub, web))
    web.credentials = with_token(hub.base, token="unknown")  # noqa: S106
    with pytest.raises(errors.UnauthorizedError, match="does not accept the token; renew it in its Secret"):
        located(origin(hub, web))
    web.credentials = with_token(hub.base)
    with pytest.raises(errors.NotFoundError, match="hidden from the token"):
        located(origin(hub, web))


def test_a_token_for_elsewhere_stays_here(hub: HuggingFace, web: Web) -> None:
    web.credentials = with_token("huggingface.co", "http://127.0.0.1:1")
    assert content_of(origin(hub, web), web) == MODEL
    assert not hub.record.holds(TOKEN)


def test_a_busy_hub_is_waited_for(hub: HuggingFace, web: Web) -> None:
    hub.repos[REPO].limited = 1
    with pytest.raises(errors.RateLimitedError) as caught:
        located(origin(hub, web))
    assert caught.value.retry_after == 7
    assert located(origin(hub, web)).size == len(MODEL)


def test_what_is_no_hub_is_told(hub: HuggingFace, web: Web) -> None:
    hub.plain = True
    with pytest.raises(errors.RefusedError, match="does not answer as a Hugging Face hub; correct endpoint"):
        located(origin(hub, web))
    with pytest.raises(errors.UnreachableError, match="ConnectError"):
        located(origin(hub, web, endpoint="http://127.0.0.1:1"))


IN_A_PROCESS = """
import json, sys
from pathlib import Path
from comfyard.store.sources import origin_of
from comfyard.store.http.web import Web
from tests.unit.store.sourcing import located, want, with_token
source, host = json.loads(sys.argv[1]), sys.argv[2]
with Web(with_token(host)) as web:
    print(located(origin_of(want("huggingFace", **source), web, Path("/"), Path("/"))).size)
"""


def test_nothing_comes_from_the_environment(hub: HuggingFace, tmp_path: Any) -> None:
    """Also not when a mirror leads to what huggingface_hub takes for a hub: the token is the mirror's."""
    with running() as mirror:
        mirror.forward = hub.base
        source = {"repo": REPO, "file": FILE, "endpoint": mirror.base}
        environment = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HOME": str(tmp_path),
            "HF_ENDPOINT": hub.base,
            "HF_TOKEN": "from-the-environment",
        }
        done = subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS, json.dumps(source), mirror.base],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == str(len(MODEL))
        assert mirror.record.sent("Authorization") == [f"Bearer {TOKEN}"]
    assert hub.record.sent("Authorization") == [None]
    assert [request.method for request in hub.record.requests] == ["HEAD"]
    assert not any(server.record.holds("from-the-environment") for server in (hub, mirror))
    assert list(tmp_path.iterdir()) == []
