from __future__ import annotations

import argparse
import asyncio
import hashlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from comfysim.checkpoint import SMALLEST, Checkpoint, parse_size, write_checkpoint
from comfysim.modelhost import parse_range
from comfysim.safetensors import read_header
from hack.cluster.process import free_port
from tests.unit.comfysim.harness import BOUND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SIZE = 3 * 1024 * 1024 + 10
FILE = Checkpoint("m.safetensors", SIZE)
WHOLE = b"".join(FILE.read(0, SIZE))


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "comfysim.modelhost", "--name", "m.safetensors", "--size", str(SIZE)]
    with subprocess.Popen(
        [*command, "--file", f"slow.safetensors={SMALLEST}", "--rate", "4M", "--port", str(port)],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "m.safetensors" in process.stderr.readline()
        yield f"http://127.0.0.1:{port}"
        process.kill()


@pytest.fixture
async def session(host: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(host, timeout=aiohttp.ClientTimeout(total=BOUND)) as session:
        yield session


@pytest.mark.parametrize("size", [SMALLEST, SMALLEST + 2, 1_000_000, SIZE])
def test_a_file_has_its_size_and_a_sound_header(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.safetensors"
    digest = write_checkpoint(path, size)
    assert path.stat().st_size == size
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest() == Checkpoint("a.safetensors", size).sha256()
    header = read_header(path)
    assert "model.diffusion_model.input_blocks.0.0.weight" in header
    assert {tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"} == {"F16"}


def test_the_contents_are_a_constant() -> None:
    assert Checkpoint("sd15-demo.safetensors", 1024 * 1024).sha256() == (
        "d8a35b77671f1efa2ffa3ca7f3ee9f95f9e77694e292832b2abeb98b2c8f896d"
    )


def test_another_name_or_size_is_another_file() -> None:
    files = [Checkpoint("a", SMALLEST), Checkpoint("b", SMALLEST), Checkpoint("a", SMALLEST + 2)]
    assert len({file.sha256() for file in files}) == len({file.etag for file in files}) == 3


@pytest.mark.parametrize(("start", "end"), [(0, 10), (5, 30_000), (SIZE - 7, SIZE), (1_048_575, 2_100_001)])
def test_any_part_is_the_same_as_in_the_whole(start: int, end: int) -> None:
    assert b"".join(FILE.read(start, end)) == WHOLE[start:end]


def test_it_is_made_fast_enough() -> None:
    file = Checkpoint("big.safetensors", 2 * 1024**3)
    started = time.monotonic()
    assert sum(len(piece) for piece in file.read(0, file.size)) == file.size
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("size", [0, SMALLEST - 2, SMALLEST + 1])
def test_sizes_that_cannot_be(size: int) -> None:
    with pytest.raises(ValueError, match=str(size)):
        Checkpoint("a", size)


@pytest.mark.parametrize(
    ("text", "size"), [("5", 5), ("2K", 2048), ("1.5MiB", 1_572_864), ("2g", 2 * 1024**3), ("1GB", 1024**3)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_a_size_that_is_none() -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_size("large")


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=90-500", (90, 100)),
        ("bytes=5-3", None),
        ("bytes=0-1,4-5", None),
        ("bytes=-", None),
        ("", None),
    ],
)
def test_ranges(header: str, span: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == span


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0"])
def test_ranges_outside(header: str) -> None:
    with pytest.raises(ValueError, match="of 100"):
        parse_range(header, 100)


async def test_the_whole_file(session: aiohttp.ClientSession) -> None:
    async with session.get("/models/m.safetensors?download=true") as response:
        assert (response.status, response.content_length) == (200, SIZE)
        assert (response.headers["ETag"], response.headers["Accept-Ranges"]) == (FILE.etag, "bytes")
        assert await response.read() == WHOLE


async def test_the_head(session: aiohttp.ClientSession) -> None:
    async with session.head("/m.safetensors") as response:
        assert (response.status, response.content_length, await response.read()) == (200, SIZE, b"")


async def test_the_rest_of_a_file(session: aiohttp.ClientSession) -> None:
    headers = {"Range": f"bytes={SIZE - 5}-", "If-Range": FILE.etag}
    async with session.get("/m.safetensors", headers=headers) as response:
        assert (response.status, await response.read()) == (206, WHOLE[-5:])
        assert response.headers["Content-Range"] == f"bytes {SIZE - 5}-{SIZE - 1}/{SIZE}"


async def test_a_range_of_another_file_gets_all_of_this_one(session: aiohttp.ClientSession) -> None:
    headers = {"Range": "bytes=5-", "If-Range": '"another"'}
    async with session.get("/m.safetensors", headers=headers) as response:
        assert (response.status, response.content_length) == (200, SIZE)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/none.safetensors", {}, 404),
        ("/m.safetensors", {"Range": f"bytes={SIZE}-"}, 416),
        ("/m.safetensors", {"If-None-Match": FILE.etag}, 304),
    ],
)
async def test_other_answers(session: aiohttp.ClientSession, path: str, headers: dict[str, str], status: int) -> None:
    async with session.get(path, headers=headers) as response:
        assert response.status == status


async def test_the_rate_is_kept(session: aiohttp.ClientSession) -> None:
    started = asyncio.get_running_loop().time()
    async with session.get("/m.safetensors", headers={"Range": "bytes=0-1048575"}) as response:
        await response.read()
    assert asyncio.get_running_loop().time() - started > 0.2


def test_digests_can_be_printed() -> None:
    command = [sys.executable, "-m", "comfysim.modelhost", "--size", str(SIZE), "--name", "m.safetensors"]
    printed = subprocess.run([*command, "--print-sha256"], capture_output=True, text=True, check=True).stdout
    assert printed == f"{hashlib.sha256(WHOLE).hexdigest()}  m.safetensors\n"
