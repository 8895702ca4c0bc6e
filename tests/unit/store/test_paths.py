from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.store.errors import PathConflictError, UnsafePathError
from comfyard.store.paths import open_folder, parts_of


@given(st.text(alphabet="ab./\0 -é", max_size=12))
def test_what_is_let_through_stays_inside(path: str) -> None:
    try:
        parts = parts_of(path)
    except UnsafePathError:
        return
    assert "/".join(parts) == path
    assert len(parts) >= 2
    inside = Path("/store")
    assert (inside / path).resolve().is_relative_to(inside)
    assert not any(part.startswith(".") for part in parts)


@pytest.mark.parametrize(
    "path",
    ["", "x", "/a/x", "a//x", "a/", "../x", "a/../x", "a/..", ".comfyard/lock", "a/.x", "a/x\0", "a/" + "x" * 256],
)
def test_bad_paths(path: str) -> None:
    with pytest.raises(UnsafePathError):
        parts_of(path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "store/loras").symlink_to(tmp_path / "outside")
    with (
        pytest.raises(UnsafePathError, match="loras is a symbolic link"),
        open_folder(tmp_path / "store", ["loras", "new"], create=True),
    ):
        pass
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "loras").write_text("")
    with pytest.raises(PathConflictError), open_folder(tmp_path, ["loras"], create=True):
        pass
