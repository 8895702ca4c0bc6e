"""Files of other claims, of the claim itself, and those that must be there already."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfyard.api.model_bundle import Source
from comfyard.store import errors
from comfyard.store.http.web import Web
from comfyard.store.origin import Local, Origin
from comfyard.store.sources import origin_of
from comfyard.store.stop import Stop
from comfyard.store.wants import Want
from tests.unit.store.sourcing import content_of, want

CONTENT = b"a model"
OPEN = Path("/proc/self/fd")


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as made:
        yield made


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """With the claim `archive`, and the store's own volume `models`."""
    for name in ("archive", "models"):
        (tmp_path / name / "sd/xl").mkdir(parents=True)
        (tmp_path / name / "sd/xl/.base 1.0.safetensors").write_bytes(CONTENT + name.encode())
    return tmp_path


def origin(mounts: Path, web: Web, path: str, name: str = "archive") -> Origin:
    return origin_of(want("claim", name=name, path=path), web, mounts / "models", mounts, "models")


def test_a_file_of_another_claim_or_of_the_own_one(mounts: Path, web: Web) -> None:
    assert content_of(origin(mounts, web, "sd/xl/.base 1.0.safetensors"), web) == CONTENT + b"archive"
    (mounts / "archive/top").write_bytes(CONTENT)
    assert content_of(origin(mounts, web, "top"), web) == CONTENT
    assert content_of(origin(mounts, web, "sd/xl/.base 1.0.safetensors", "models"), web) == CONTENT + b"models"


def test_what_was_lent_stays_the_file_that_it_was(mounts: Path, web: Web) -> None:
    file = mounts / "archive/top"
    file.write_bytes(CONTENT)
    with origin(mounts, web, "top").locate(Stop()) as found:
        file.unlink()
        file.symlink_to("/etc/hostname")
        assert isinstance(found, Local)
        assert found.file.read_bytes() == CONTENT
    before = len(list(OPEN.iterdir()))
    with origin(mounts, web, "sd/xl/.base 1.0.safetensors").locate(Stop()):
        pass
    assert len(list(OPEN.iterdir())) == before


@pytest.mark.parametrize(
    ("path", "name", "kind", "message"),
    [
        ("sd/x", "archive", errors.NotFoundError, "there is no sd/x of claim archive; correct source.claim.path"),
        ("x/y/z", "archive", errors.NotFoundError, "there is no x/y/z of claim archive; correct source.claim.path"),
        ("file/x", "archive", errors.NotFoundError, "there is no file/x of claim archive; correct source.claim.path"),
        ("sd", "archive", errors.RefusedError, "sd of claim archive is not a file; correct source.claim.path"),
        ("pipe", "archive", errors.RefusedError, "pipe of claim archive is not a file; correct source.claim.path"),
        ("sd", "absent", errors.NotFoundError, "claim absent is not mounted; create it in this namespace, or correct "),
        ("linked", "archive", errors.UnsafePathError, "linked of claim archive is behind a symbolic link; name the "),
        ("folder/x", "archive", errors.UnsafePathError, "folder/x of claim archive is behind a symbolic link; name "),
        ("sd/../file", "archive", errors.UnsafePathError, "'sd/../file' has parts that are empty or dots"),
        ("sd//xl", "archive", errors.UnsafePathError, "'sd//xl' has parts that are empty or dots"),
    ],
)
def test_what_is_not_to_be_had_is_named(
    mounts: Path, web: Web, path: str, name: str, kind: type[errors.StoreError], message: str
) -> None:
    archive = mounts / "archive"
    (archive / "file").write_bytes(CONTENT)
    os.mkfifo(archive / "pipe")
    (archive / "linked").symlink_to("file")
    (archive / "folder").symlink_to("sd")
    with pytest.raises(kind) as caught:
        content_of(origin(mounts, web, path, name), web)
    assert str(caught.value).startswith(message)


def test_what_must_be_there_is_not_looked_for_elsewhere(mounts: Path, web: Web) -> None:
    with pytest.raises(errors.NotFoundError, match=r"there is no loras/a\.bin on the claim; put it there, or name a"):
        content_of(origin_of(want("existing", at="loras/a.bin"), web, mounts, mounts), web)


def test_a_kind_that_is_newer_than_this_version(mounts: Path, web: Web) -> None:
    with pytest.raises(errors.UnsupportedSourceError, match="name another, or upgrade"):
        origin_of(Want("loras/a.bin", Source(), None), web, mounts, mounts)
