from collections.abc import Iterator
from pathlib import Path

import pytest

from comfyard.store.http.web import Web
from comfyard.store.store import Store
from tests.unit.store.source_server import Source, running


@pytest.fixture
def source() -> Iterator[Source]:
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def web() -> Iterator[Web]:
    with Web(connect_seconds=5, read_seconds=5) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.layout.prepare()
    return made
