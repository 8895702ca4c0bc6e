"""Reading what ComfyUI stored, and nothing else."""

import os
from pathlib import Path

import pytest

from comfyard.agent.files import folders, new_file, open_output, remove_folder, remove_output
from comfyard.comfyui.answers import OutputFile


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "token").write_text("a token")
    folder = tmp_path / "output"
    (folder / "uid" / "0-0").mkdir(parents=True)
    (folder / "uid" / "0-0" / "9_00001_.png").write_bytes(b"a picture")
    return folder


def test_a_stored_file_can_be_read(root: Path) -> None:
    with open_output(root, OutputFile("9_00001_.png", "uid/0-0", "output")) as file:
        assert file.read() == b"a picture"


@pytest.mark.parametrize(
    ("subfolder", "filename"),
    [("..", "secret/token"), ("", "../secret/token"), ("uid/../../secret", "token"), ("", ""), ("uid", "a\0b")],
)
def test_a_name_does_not_lead_out(root: Path, subfolder: str, filename: str) -> None:
    with pytest.raises(OSError, match="not below its directory"):
        open_output(root, OutputFile(filename, subfolder, "output"))


def test_an_absolute_name_does_not_lead_out(root: Path) -> None:
    with pytest.raises(OSError, match="not below its directory"):
        open_output(root, OutputFile(str(root.parent / "secret" / "token"), "", "output"))


def test_a_link_is_not_followed(root: Path) -> None:
    (root / "uid" / "link.png").symlink_to(root.parent / "secret" / "token")
    with pytest.raises(OSError, match="symbolic links"):
        open_output(root, OutputFile("link.png", "uid", "output"))


def test_a_linked_folder_is_not_followed(root: Path) -> None:
    (root / "elsewhere").symlink_to(root.parent / "secret")
    with pytest.raises(NotADirectoryError):
        open_output(root, OutputFile("token", "elsewhere", "output"))


def test_a_pipe_does_not_hold_us_up(root: Path) -> None:
    os.mkfifo(root / "uid" / "pipe.png")
    with pytest.raises(OSError, match="not an ordinary file"):
        open_output(root, OutputFile("pipe.png", "uid", "output"))


def test_a_missing_file_is_an_error(root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_output(root, OutputFile("absent.png", "uid", "output"))


def test_a_file_is_removed_and_may_be_gone(root: Path) -> None:
    (root / "uid" / "0-0" / "other.png").touch()
    for _ in range(2):
        remove_output(root, OutputFile("9_00001_.png", "uid/0-0", "output"))
    assert [path.name for path in (root / "uid" / "0-0").iterdir()] == ["other.png"]


def test_the_last_file_takes_its_folders_with_it(root: Path) -> None:
    remove_output(root, OutputFile("9_00001_.png", "uid/0-0", "output"))
    assert folders(root) == []


def test_a_new_file_appears_as_a_whole_and_for_everybody(root: Path) -> None:
    before = os.umask(0o077)
    try:
        with new_file(root, "new") as new:
            new.content.write(b"a picture")
            assert [path.suffix for path in (root / "new").iterdir()] == [""]
            new.finish("photo.png")
    finally:
        os.umask(before)
    [path] = (root / "new").iterdir()
    assert (path.name, path.read_bytes(), path.stat().st_mode & 0o777) == ("photo.png", b"a picture", 0o644)
    assert (root / "new").stat().st_mode & 0o777 == 0o755


def test_an_unfinished_file_is_gone(root: Path) -> None:
    with new_file(root, "new") as new:
        new.content.write(b"half a pic")
    assert list((root / "new").iterdir()) == []


def test_nothing_is_written_through_a_link(root: Path) -> None:
    (root / "new").symlink_to(root.parent / "secret")
    with pytest.raises(NotADirectoryError), new_file(root, "new"):
        pass
    assert [path.name for path in (root.parent / "secret").iterdir()] == ["token"]


def test_removing_does_not_follow_links_either(root: Path) -> None:
    (root / "elsewhere").symlink_to(root.parent / "secret")
    remove_output(root, OutputFile("token", "elsewhere", "output"))
    remove_folder(root, "elsewhere")
    remove_folder(root, "elsewhere/x")
    assert (root.parent / "secret" / "token").exists()


def test_a_folder_goes_with_the_empty_ones_above_it(root: Path) -> None:
    remove_folder(root, "uid/0-0")
    assert folders(root) == []


def test_a_folder_stays_while_another_attempt_has_files(root: Path) -> None:
    (root / "uid" / "1-0").mkdir()
    remove_folder(root, "uid/0-0")
    assert [path.name for path in (root / "uid").iterdir()] == ["1-0"]
