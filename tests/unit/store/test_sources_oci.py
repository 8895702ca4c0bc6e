"""Files of artifacts in an OCI registry."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfyard.store import errors
from comfyard.store.http.credentials import Credentials, docker_credential
from comfyard.store.http.web import Web
from comfyard.store.origin import Origin
from comfyard.store.sources import origin_of
from comfyard.store.sources.registry import parse_reference
from tests.doubles.oci import DOCKER_MANIFEST, TITLE, Layout, Registry, running
from tests.unit.store.source_server import safetensors, sha256
from tests.unit.store.sourcing import NOWHERE, content_of, located, want, with_password

MODEL = safetensors(200_000)
LICENCE = b"Do what you like.\n"
NAME = "studio/dreamer"
FILE = "unet/model.safetensors"
ORAS_FILE = "application/vnd.oci.image.layer.v1.tar"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A ModelPack of two files, called v1."""
    made = Layout(tmp_path / "layout")
    doc = made.layer("LICENSE", LICENCE, "application/vnd.cncf.model.doc.v1.raw")
    made.tag("v1", made.manifest([made.layer(FILE, MODEL), doc]))
    return made


@pytest.fixture
def registry(layout: Layout) -> Iterator[Registry]:
    with running() as server:
        server.layouts[NAME] = layout
        server.users = {"tess": "password-of-a-test"}
        yield server


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as made:
        yield made


def origin(registry: Registry, web: Web, version: str = ":v1", **fields: Any) -> Origin:
    source = {"image": f"{registry.host}/{NAME}{version}", "path": FILE, "insecure": True, **fields}
    return origin_of(want("oci", **source), web, NOWHERE, NOWHERE)


def test_a_file_of_a_model_pack_comes_with_its_digest(registry: Registry, web: Web) -> None:
    registry.redirects = True
    remote = located(origin(registry, web))
    assert (remote.size, remote.sha256) == (len(MODEL), sha256(MODEL))
    assert content_of(origin(registry, web), web) == MODEL
    assert content_of(origin(registry, web, path="LICENSE"), web) == LICENCE
    assert registry.storage.record.sent("Authorization") == [None, None]


def test_a_digest_is_held_against_the_manifest(registry: Registry, layout: Layout, web: Web) -> None:
    digest = layout.tag("v2", layout.manifest([layout.layer(FILE, MODEL)]))
    assert content_of(origin(registry, web, f":v1@{digest}"), web) == MODEL
    registry.tampered = True
    with pytest.raises(errors.RefusedError, match="answers with something else than sha256:"):
        located(origin(registry, web, f"@{digest}"))


def test_plain_artifacts_name_their_files_by_title(registry: Registry, layout: Layout, web: Web) -> None:
    layout.tag("plain", layout.manifest([layout.layer("m.bin", MODEL, "application/octet-stream", TITLE)]))
    layout.tag("oras", layout.manifest([layout.layer("m.bin", MODEL, ORAS_FILE, TITLE)], DOCKER_MANIFEST))
    for tag in ("plain", "oras"):
        assert content_of(origin(registry, web, f":{tag}", path=None), web) == MODEL


def test_the_artifact_of_an_index_is_found(registry: Registry, layout: Layout, web: Web) -> None:
    def attested(platform: dict[str, str], content: bytes) -> dict[str, Any]:
        return layout.manifest([layout.layer(FILE, content)], platform=platform)

    proof = layout.manifest(
        [layout.layer("x", b"x")], annotations={"vnd.docker.reference.type": "attestation-manifest"}
    )
    amd64 = attested({"os": "linux", "architecture": "amd64"}, MODEL)
    arm64 = attested({"os": "linux", "architecture": "arm64"}, LICENCE)
    layout.tag("one", layout.index([layout.manifest([layout.layer(FILE, MODEL)]), proof]))
    layout.tag("two", layout.index([arm64, amd64, proof]))
    layout.tag("none", layout.index([arm64, attested({"os": "linux", "architecture": "riscv64"}, LICENCE)]))
    for tag in ("one", "two"):
        assert content_of(origin(registry, web, f":{tag}"), web) == MODEL
    with pytest.raises(errors.NotFoundError, match=r"several artifacts: sha256:.*; name one by"):
        located(origin(registry, web, ":none"))


def test_a_login_goes_to_the_service_that_gives_tokens(registry: Registry, web: Web) -> None:
    registry.public = False
    web.credentials = with_password("tess", "password-of-a-test", registry.base, registry.auth)
    assert content_of(origin(registry, web), web) == MODEL
    assert {str(sent).partition(" ")[0] for sent in registry.auth_record.sent("Authorization")} == {"Basic"}
    asked = {request.query for request in registry.auth_record.requests}
    assert asked == {"service=registry&scope=repository:studio/dreamer:pull"}


def test_docker_s_own_file_is_understood(registry: Registry, web: Web) -> None:
    registry.public = False
    config = json.dumps({"auths": {registry.host: {"username": "tess", "password": "password-of-a-test"}}})
    web.credentials = Credentials([docker_credential(config, (registry.base, registry.auth))])
    assert content_of(origin(registry, web), web) == MODEL
    web.credentials = Credentials([docker_credential(config, (registry.base,))])
    with pytest.raises(errors.UnauthorizedError, match=f"lists {registry.auth.removeprefix('http://')}$"):
        content_of(origin(registry, web), web)


def test_a_registry_may_want_the_password_itself(registry: Registry, web: Web) -> None:
    registry.scheme = "Basic"
    with pytest.raises(errors.UnauthorizedError, match=f"lists {registry.host}$"):
        located(origin(registry, web))
    web.credentials = with_password("tess", "password-of-a-test", registry.base)
    assert content_of(origin(registry, web), web) == MODEL
    web.credentials = with_password("tess", "wrong", registry.base)
    with pytest.raises(errors.UnauthorizedError) as caught:
        located(origin(registry, web))
    assert "wrong" not in str(caught.value)


def test_nobody_sees_a_login_for_elsewhere(registry: Registry, web: Web) -> None:
    registry.public = False
    web.credentials = with_password("tess", "password-of-a-test", "registry.example.com")
    with pytest.raises(errors.UnauthorizedError, match="is private, or not there; correct image, or name a Secret"):
        content_of(origin(registry, web), web)
    assert registry.auth_record.sent("Authorization") == [None]


def test_a_token_that_is_too_old_is_had_anew(registry: Registry, web: Web) -> None:
    first = located(origin(registry, web))
    registry.expire()
    second = located(origin(registry, web))
    assert first.headers != second.headers
    assert first.url == second.url


@pytest.mark.parametrize(
    ("version", "path", "message"),
    [
        (":v9", FILE, "has no artifact v9; correct image"),
        (":v1", "x", f"has no file x; its files are: {FILE}, LICENSE; set path to one of them"),
        (":v1", None, f"has not exactly one file; its files are: {FILE}, LICENSE; set path to one of them"),
    ],
)
def test_what_is_missing_is_named(registry: Registry, web: Web, version: str, path: str | None, message: str) -> None:
    with pytest.raises(errors.NotFoundError) as caught:
        located(origin(registry, web, version, path=path))
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.cncf.model.weight.v1.tar",
        "application/vnd.cncf.model.weight.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ],
)
def test_packed_layers_are_refused(registry: Registry, layout: Layout, web: Web, media_type: str) -> None:
    layout.tag("packed", layout.manifest([layout.layer(FILE, b"x", media_type)]))
    with pytest.raises(errors.UnsupportedSourceError) as caught:
        located(origin(registry, web, ":packed"))
    assert f"is packed ({media_type}); push the file as it is" in str(caught.value)


def test_references() -> None:
    digest = "sha256:" + "0" * 64
    found = parse_reference(f"ghcr.io:443/a/b-c/d_e:v1@{digest}")
    assert (found.registry, found.repository, found.version) == ("ghcr.io:443", "a/b-c/d_e", digest)
    assert parse_reference("localhost/a").version == "latest"
    for wrong in ("a/b:v1", "ghcr.io", "ghcr.io/A", "ghcr.io/a@sha512:00", "ghcr.io/a/../b", "ghcr.io/a:"):
        with pytest.raises(errors.NotFoundError, match="write registry/repository"):
            parse_reference(wrong)
