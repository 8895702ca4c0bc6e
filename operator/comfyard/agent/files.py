"""Files in ComfyUI's output directory, which custom nodes share with us.

A custom node is somebody's code, and the agent has what it has not: a token of the API server. A link in the output
directory must not make the agent read something else, so every part of a path is opened without following links.
"""

import os
import shutil
import stat
from contextlib import suppress
from io import BufferedReader
from pathlib import Path, PurePosixPath

from comfyard.comfyui.answers import OutputFile

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_output(root: Path, file: OutputFile) -> BufferedReader:
    """Open a file that ComfyUI says it has stored.

    Raises:
        OSError: It is not there, is no ordinary file, or is not in the output directory.
    """
    *folders, name = _parts(file)
    directory = _open_directory(root, folders)
    try:
        descriptor = os.open(name, _FILE, dir_fd=directory)
    finally:
        os.close(directory)
    opened = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        opened.close()
        raise OSError(f"{file.filename} is not an ordinary file")
    return opened


def remove_output(root: Path, file: OutputFile) -> None:
    """Remove a file if it is there."""
    with suppress(OSError):
        *folders, name = _parts(file)
        directory = _open_directory(root, folders)
        try:
            os.unlink(name, dir_fd=directory)
        finally:
            os.close(directory)


def remove_folder(root: Path, folder: str) -> None:
    """Remove a folder with all that is in it, and the folders above it that are empty then."""
    *above, name = PurePosixPath(folder).parts
    with suppress(OSError):
        directory = _open_directory(root, above)
        try:
            shutil.rmtree(name, ignore_errors=True, dir_fd=directory)
        finally:
            os.close(directory)
    for depth in range(len(above), 0, -1):
        with suppress(OSError):  # not empty: another attempt of the job has begun
            root.joinpath(*above[:depth]).rmdir()


def folders(root: Path) -> list[str]:
    """Names of the folders in the output directory."""
    with suppress(OSError), os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return []


def _parts(file: OutputFile) -> tuple[str, ...]:
    path = PurePosixPath(file.subfolder, file.filename)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in str(path):
        raise OSError(f"{path} is not in the output directory")
    return path.parts


def _open_directory(root: Path, folders: list[str]) -> int:
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for folder in folders:
        try:
            below = os.open(folder, _DIRECTORY, dir_fd=current)
        finally:
            os.close(current)
        current = below
    return current
