"""Files from CivitAI."""

from collections.abc import Iterator
from typing import Any

import pytest

from comfyard.store import errors
from comfyard.store.http.web import Web
from comfyard.store.origin import Origin
from comfyard.store.sources import origin_of
from tests.doubles import hugging_face
from tests.doubles.civitai import Civitai, Version, running
from tests.unit.store.source_server import safetensors, sha256
from tests.unit.store.sourcing import NOWHERE, TOKEN, content_of, located, want, with_token

MODEL = safetensors(200_000)
SMALL = safetensors(1_000, seed=1)
FILES = {"dreamer_v1.safetensors": MODEL, "dreamer_v1_pruned.safetensors": SMALL}
ID = 290640


@pytest.fixture
def site() -> Iterator[Civitai]:
    with running() as server:
        server.tokens = {TOKEN}
        server.versions[ID] = Version(FILES)
        yield server


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as made:
        yield made


def origin(site: Civitai, web: Web, **fields: Any) -> Origin:
    source = {"modelVersionId": ID, "endpoint": site.base, **fields}
    return origin_of(want("civitai", **source), web, NOWHERE, NOWHERE)


def test_the_primary_file_comes_with_its_digest(site: Civitai, web: Web) -> None:
    site.versions[ID].login = True
    web.credentials = with_token(site.base)
    remote = located(origin(site, web))
    assert (remote.sha256, remote.size) == (sha256(MODEL), None)
    assert content_of(origin(site, web), web) == MODEL
    assert site.record.sent("Authorization") == [f"Bearer {TOKEN}"] * 3
    assert site.storage.record.sent("Authorization") == [None]
    assert {request.method for request in [*site.record.requests, *site.storage.record.requests]} == {"GET"}
    assert TOKEN not in repr(remote)


def test_a_file_is_chosen_by_its_name(site: Civitai, web: Web) -> None:
    assert content_of(origin(site, web, file="dreamer_v1_pruned.safetensors"), web) == SMALL
    with pytest.raises(errors.NotFoundError) as caught:
        located(origin(site, web, file="dreamer.safetensors"))
    assert "has no file dreamer.safetensors; its files are: " + ", ".join(FILES) in str(caught.value)


def test_what_was_not_scanned_has_no_digest(site: Civitai, web: Web) -> None:
    site.versions[ID].hashes = False
    assert located(origin(site, web)).sha256 is None
    assert content_of(origin(site, web), web) == MODEL


def test_a_version_that_is_not_there(site: Civitai, web: Web) -> None:
    with pytest.raises(errors.NotFoundError, match=r"correct modelVersionId.*civitai\.red"):
        located(origin(site, web, modelVersionId=1))


@pytest.mark.parametrize("version", [Version(FILES, login=True), Version(FILES, early=True)])
def test_what_is_not_for_everybody_asks_for_a_key(site: Civitai, web: Web, version: Version) -> None:
    site.versions[ID] = version
    with pytest.raises(errors.UnauthorizedError, match="not for everybody, or in early access: name a Secret"):
        content_of(origin(site, web), web)


def test_early_access_is_refused_to_a_key_too(site: Civitai, web: Web) -> None:
    site.versions[ID].early = True
    web.credentials = with_token(site.base)
    with pytest.raises(errors.UnauthorizedError, match=r"an API key for .* whose account may download it") as caught:
        content_of(origin(site, web), web)
    assert TOKEN not in str(caught.value)


def test_a_wrong_key_is_told(site: Civitai, web: Web) -> None:
    web.credentials = with_token(site.base, token="unknown")  # noqa: S106
    with pytest.raises(errors.UnauthorizedError, match=r"does not accept the credential .* renew it in its Secret"):
        located(origin(site, web))


def test_a_key_stays_with_its_site(site: Civitai, web: Web) -> None:
    """Also when the API names another host; civitai.com and civitai.red are two doors of one house."""
    with running() as other:
        site.versions[ID].elsewhere = other.base
        web.credentials = with_token(site.base)
        assert content_of(origin(site, web), web) == MODEL
        assert other.record.requests == []
        site.versions[ID].elsewhere = f"{other.base}/x"
        with pytest.raises(errors.RefusedError, match="an address that is no download there"):
            located(origin(site, web))


def test_a_site_that_is_another_is_refused(site: Civitai, web: Web) -> None:
    with hugging_face.running() as other, pytest.raises(errors.RefusedError, match="not JSON"):
        located(origin(site, web, endpoint=other.base))
