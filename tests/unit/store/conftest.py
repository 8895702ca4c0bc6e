from collections.abc import Iterator
from pathlib import Path

import pytest

from comfyard.store.http.web import Web
from comfyard.store.layout import Layout
from comfyard.store.store import Store
from tests.doubles import git
from tests.unit.store.source_server import Source, running
from tests.unit.store.volume import prepared


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
    return prepared(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[git.GitServer]:
    """A git server; what it serves is `work`, which each module makes for itself."""
    (tmp_path / "served").mkdir()
    with git.running(tmp_path / "served") as made:
        yield made


@pytest.fixture
def head(work: git.Work) -> str:
    return work.git("rev-parse", "HEAD")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Of a volume beside what is served."""
    (tmp_path / "store").mkdir()
    return prepared(tmp_path / "store").layout
