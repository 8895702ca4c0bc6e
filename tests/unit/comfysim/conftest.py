from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.comfysim.harness import Client, Sim, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    """One stand-in for all tests of a module; it honours switches in prompts."""
    with running(tmp_path_factory.mktemp("sim"), COMFYSIM_PROMPT_SWITCHES="1") as running_sim:
        yield running_sim


@pytest.fixture
async def client(sim: Sim) -> AsyncIterator[Client]:
    async with Client(sim) as connected:
        yield connected


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    """A stand-in with everything set differently that can be set without harm to one another."""
    with running(
        tmp_path_factory.mktemp("other"),
        *("--preview-method", "auto", "--disable-metadata", "--max-upload-size", "0.01"),
        COMFYSIM_GPU_NAME="Pretend 9000",
        COMFYSIM_VRAM_BYTES="1e9",
        COMFYSIM_LOAD_BYTES_PER_SECOND="200000",
    ) as running_sim:
        yield running_sim


@pytest.fixture(scope="session")
def uncached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    """A stand-in on a processor, without a node cache and without classes for paid services."""
    base = tmp_path_factory.mktemp("uncached")
    with running(base, "--cache-none", "--cpu", "--disable-api-nodes") as running_sim:
        yield running_sim
