"""Results on a mounted claim."""

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfyard.outputs.claim import ClaimStore
from comfyard.outputs.store import OutputError, put_patiently

KEY = "studio/lighthouse-3c8f8a54/image-000.png"


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


@pytest.fixture
def broken() -> Iterator[io.BufferedReader]:
    """A file that cannot be read at its beginning, as on a disk that fails."""
    with Path("/proc/self/mem").open("rb") as file:
        yield file


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_file_lies_below_the_jobs_path(mount: Path, picture: io.BufferedReader) -> None:
    uri = await ClaimStore(mount, "outputs", "team/a").put(KEY, picture, "image/png")
    assert uri == f"claim://outputs/team/a/{KEY}"
    picture.seek(0)
    assert (mount / "team/a" / KEY).read_bytes() == picture.read()


async def test_no_path_means_the_claims_root(mount: Path, picture: io.BufferedReader) -> None:
    assert await ClaimStore(mount, "outputs").put(KEY, picture, "image/png") == f"claim://outputs/{KEY}"
    assert (mount / KEY).is_file()


async def test_others_may_read_whatever_the_umask_is(mount: Path, picture: io.BufferedReader) -> None:
    before = os.umask(0o077)
    try:
        await ClaimStore(mount, "outputs").put(KEY, picture, "image/png")
    finally:
        os.umask(before)
    modes = [mode(path) for path in (mount / KEY, *(mount / KEY).parents[:2])]
    assert modes == [0o644, 0o755, 0o755]


async def test_a_repeat_leaves_one_file(mount: Path, picture: io.BufferedReader) -> None:
    store = ClaimStore(mount, "outputs")
    await store.put(KEY, picture, "image/png")
    await store.put(KEY, picture, "image/png")
    assert files(mount) == [mount / KEY]


async def test_a_failed_copy_leaves_nothing(mount: Path, broken: io.BufferedReader) -> None:
    with pytest.raises(OutputError, match="Input/output error"):
        await ClaimStore(mount, "outputs").put(KEY, broken, "image/png")
    assert files(mount) == []


async def test_a_link_does_not_lead_out_of_the_claim(mount: Path, tmp_path: Path, picture: io.BufferedReader) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (mount / "studio").symlink_to(outside)
    with pytest.raises(OutputError, match="leads out of it"):
        await ClaimStore(mount, "outputs").put(KEY, picture, "image/png")
    assert list(outside.rglob("*.png")) == []


async def test_a_claim_that_cannot_be_written_is_explained(picture: io.BufferedReader) -> None:
    with pytest.raises(OutputError, match="claim outputs does not take studio/"):
        await ClaimStore(Path("/proc"), "outputs").put(KEY, picture, "image/png")


async def test_storing_is_given_up_in_the_end(mount: Path, broken: io.BufferedReader) -> None:
    with pytest.raises(OutputError, match="see whether the volume is healthy"):
        await put_patiently(ClaimStore(mount, "outputs"), KEY, broken, "image/png", 1)
