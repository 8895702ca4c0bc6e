"""Every source into one store, with logins: what comes is right, and a login is seen by those it is for, only."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import obstore
import pytest

from comfyard.store import errors
from comfyard.store.http.credentials import Basic, Credential, Credentials, S3Keys
from comfyard.store.http.web import Web
from comfyard.store.sources import origin_of
from comfyard.store.stop import Stop
from comfyard.store.store import Store
from comfyard.store.transfer.download import Options
from comfyard.store.wants import Stored, Want
from tests.doubles import civitai, git, hugging_face, oci, seaweed
from tests.doubles.presigned import Presigned
from tests.doubles.serving import Record
from tests.unit.store.source_server import safetensors, sha256
from tests.unit.store.sourcing import want

SECRETS = {"hub": "hf_0123456789", "site": "key0123456789", "git": "ghp_0123456789", "registry": "word0123456789"}
MODELS = {kind: safetensors(3_000_000, seed) for seed, kind in enumerate(("hub", "site", "git", "registry", "s3"))}
PART = 512 * 1024


@dataclass(frozen=True)
class World:
    """All servers, each with one model that not everybody may have."""

    hub: hugging_face.HuggingFace
    site: civitai.Civitai
    git: git.GitServer
    registry: oci.Registry
    s3: seaweed.Seaweed
    commit: str

    @property
    def storages(self) -> list[Presigned]:
        return [self.hub.cdn, self.site.storage, self.git.storage, self.registry.storage]

    @property
    def records(self) -> dict[str, list[Record]]:
        """What the servers of each kind were asked."""
        return {
            "hub": [self.hub.record],
            "site": [self.site.record],
            "git": [self.git.record],
            "registry": [self.registry.record, self.registry.auth_record],
        }

    @property
    def credentials(self) -> Credentials:
        return Credentials(
            [
                Credential((self.hub.base,), token=SECRETS["hub"]),
                Credential((self.site.base,), token=SECRETS["site"]),
                Credential((self.git.base,), token=SECRETS["git"]),
                Credential((self.registry.auth,), basic=Basic("tess", SECRETS["registry"])),
                Credential((self.s3.endpoint,), s3=S3Keys(seaweed.READER, seaweed.SECRET)),
            ]
        )

    def wants(self) -> dict[str, Want]:
        image = f"{self.registry.host}/studio/model:v1"
        found = {
            "hub": want("huggingFace", repo="studio/model", file="m.safetensors", endpoint=self.hub.base),
            "site": want("civitai", modelVersionId=7, endpoint=self.site.base),
            "git": want("git", url=f"{self.git.base}/studio/model.git", commit=self.commit, path="m.safetensors"),
            "registry": want("oci", image=image, insecure=True),
            "s3": want("s3", bucket=seaweed.BUCKET, key="m.safetensors", endpoint=self.s3.endpoint),
        }
        return {kind: Want(f"checkpoints/{kind}.safetensors", one.source, None) for kind, one in found.items()}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweed.Seaweed]:
    with seaweed.running(tmp_path_factory.mktemp("seaweed")) as server:
        obstore.put(server.client(), "m.safetensors", MODELS["s3"])
        yield server


@pytest.fixture
def world(tmp_path: Path, s3: seaweed.Seaweed) -> Iterator[World]:
    with contextlib.ExitStack() as servers:
        hub = servers.enter_context(hugging_face.running())
        hub.tokens = {SECRETS["hub"]}
        hub.repos["studio/model"] = hugging_face.Repo({"m.safetensors": MODELS["hub"]}, gated=True, members=hub.tokens)
        site = servers.enter_context(civitai.running())
        site.tokens = {SECRETS["site"]}
        site.versions[7] = civitai.Version({"m.safetensors": MODELS["site"]}, login=True)
        (tmp_path / "served").mkdir()
        server = servers.enter_context(git.running(tmp_path / "served"))
        server.lfs[sha256(MODELS["git"])] = MODELS["git"]
        work = server.repository("studio/model", tmp_path / "work")
        commit = work.commit(**{"m.safetensors": git.pointer(MODELS["git"])})
        server.login = f"x-access-token:{SECRETS['git']}"
        registry = servers.enter_context(oci.running())
        registry.users, registry.public, registry.redirects = {"tess": SECRETS["registry"]}, False, True
        layout = registry.layouts["studio/model"] = oci.Layout(tmp_path / "layout")
        layout.tag("v1", layout.manifest([layout.layer("m.safetensors", MODELS["registry"])]))
        yield World(hub, site, server, registry, s3, commit)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    made = Store(tmp_path / "store", Options(part=PART))
    made.layout.prepare()
    return made


def fetch(store: Store, web: Web, one: Want) -> Stored:
    root = store.layout.root
    return store.fetch(one, origin_of(one, web, root, root), web, lambda _: None, Stop())


def test_logins_are_seen_by_those_they_are_for(world: World, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Web(world.credentials) as web:
        for kind, one in world.wants().items():
            assert fetch(store, web, one).sha256 == sha256(MODELS[kind])
            assert (store.layout.root / one.path).read_bytes() == MODELS[kind]
    for kind, secret in SECRETS.items():
        assert any(record.holds(secret) for record in world.records[kind])
        others = [record for other, records in world.records.items() if other != kind for record in records]
        assert not any(record.holds(secret) for record in [*others, *(one.record for one in world.storages)])
    assert all(set(storage.record.sent("Authorization")) == {None} for storage in world.storages)
    written = b"".join(path.read_bytes() for path in store.layout.root.rglob("*") if path.is_file())
    for secret in (*SECRETS.values(), seaweed.SECRET):
        assert secret not in caplog.text
        assert secret.encode() not in written
    assert b"Signature" not in written


def test_without_logins_each_source_says_what_to_do(world: World, store: Store) -> None:
    with Web() as web:
        for one in world.wants().values():
            kinds = (errors.UnauthorizedError, errors.LicenceRequiredError, errors.ForbiddenError)
            with pytest.raises(kinds, match=r"a Secret .*(spec\.credentials|comfyard\.io/hosts)"):
                fetch(store, web, one)
    assert [path for path in store.layout.root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("kind", ["hub", "site", "git", "registry"])
def test_addresses_that_expire_are_renewed(world: World, store: Store, kind: str) -> None:
    for storage in world.storages:
        storage.uses = 2
    with Web(world.credentials) as web:
        assert fetch(store, web, world.wants()[kind]).sha256 == sha256(MODELS[kind])


def test_files_of_this_machine_are_copied(world: World, store: Store, tmp_path: Path) -> None:
    """One of another claim, and one that git itself holds."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/m.safetensors").write_bytes(MODELS["hub"])
    world.git.login = ""
    work = world.git.repository("studio/plain", tmp_path / "plain")
    commit = work.commit(**{"m.safetensors": MODELS["git"]})
    url = f"{world.git.base}/studio/plain.git"
    with Web() as web:
        for content, one in (
            (MODELS["hub"], want("claim", at="vae/claim.safetensors", name="archive", path="m.safetensors")),
            (MODELS["git"], want("git", at="vae/git.safetensors", url=url, commit=commit, path="m.safetensors")),
        ):
            origin = origin_of(one, web, store.layout.root, tmp_path)
            assert store.fetch(one, origin, web, lambda _: None, Stop()).sha256 == sha256(content)
            assert (store.layout.root / one.path).read_bytes() == content
    assert list(store.layout.git.iterdir()) == []


@pytest.mark.parametrize("refusal", ["json", "html"])
def test_a_refusal_is_not_taken_for_a_model(world: World, store: Store, refusal: civitai.Refusal) -> None:
    """Such answers, with status 200, are what others save under the model's name."""
    world.site.versions[7] = civitai.Version(
        {"m.safetensors": MODELS["site"]}, early=True, refusal=refusal, hashes=False
    )
    with Web(world.credentials) as web, pytest.raises(errors.PermanentError):
        fetch(store, web, world.wants()["site"])
    assert [path for path in store.layout.root.rglob("*") if path.is_file()] == []
