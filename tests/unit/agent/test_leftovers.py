"""What could not be stored, until somebody comes back for it."""

from pathlib import Path

import pytest

from comfyard.agent.leftovers import Leftovers
from comfyard.comfyui.answers import OutputFile
from comfyard.comfyui.execution import Success


@pytest.fixture
def made(tmp_path: Path) -> dict[int, Success]:
    """One picture, in its folder."""
    folder = tmp_path / "uid" / "0-3"
    folder.mkdir(parents=True)
    (folder / "9_00001_.png").write_bytes(b"a picture")
    return {3: Success("p", {"9": (OutputFile("9_00001_.png", "uid/0-3", "output"),)}, {}, reused=False)}


def test_the_same_render_gets_it_once(tmp_path: Path, made: dict[int, Success]) -> None:
    kept = Leftovers(tmp_path)
    kept.keep("uid", "graph", made)
    kept.expire()
    assert kept.take("another", "graph") == {}
    assert kept.take("uid", "graph") == made
    assert kept.take("uid", "graph") == {}
    assert (tmp_path / "uid" / "0-3" / "9_00001_.png").exists()


def test_another_render_does_not_and_the_files_go(tmp_path: Path, made: dict[int, Success]) -> None:
    kept = Leftovers(tmp_path)
    kept.keep("uid", "graph", made)
    assert kept.take("uid", "another graph") == {}
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_comes_back_for_is_deleted(tmp_path: Path, made: dict[int, Success]) -> None:
    kept = Leftovers(tmp_path, seconds=0)
    kept.keep("uid", "graph", made)
    kept.expire()
    assert kept.take("uid", "graph") == {}
    assert list(tmp_path.iterdir()) == []
