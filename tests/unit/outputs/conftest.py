import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.doubles.seaweed import Seaweed, running


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with running(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def picture(tmp_path: Path) -> Iterator[io.BufferedReader]:
    """A PNG of 48 by 32 pixels, opened."""
    path = tmp_path / "picture.png"
    Image.new("RGB", (48, 32), "orange").save(path)
    with path.open("rb") as file:
        yield file
