"""Files in directories that we share with others: ComfyUI's, with custom nodes; claims, with whoever mounts them.

A custom node is somebody's code, and the agent has what it has not: a token of the API server. A link in such a
directory must not make the agent read or write something else, so every part of a path is opened without following
links.
"""

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom, BufferedReader
from pathlib import Path, PurePosixPath

from comfyard.comfyui.answers import OutputFile

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_MODE, _FILE_MODE = 0o755, 0o644


def open_output(root: Path, file: OutputFile) -> BufferedReader:
    """Open a file that ComfyUI says it has stored. Raises OSError, see open_file."""
    return open_file(root, PurePosixPath(file.subfolder, file.filename))


def open_file(root: Path, path: PurePosixPath) -> BufferedReader:
    """Open a file below a directory.

    Raises:
        OSError: It is not there, is no ordinary file, is behind a link, or is not below the directory.
    """
    *folders, name = _parts(path)
    directory = _open_directory(root, folders)
    try:
        descriptor = os.open(name, _FILE, dir_fd=directory)
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is not an ordinary file")
    return os.fdopen(descriptor, "rb")


class NewFile:
    """A file that is being written, and has no name yet.

    Attributes:
        content: What is written; it can be read, too.
    """

    def __init__(self, directory: int, content: BufferedRandom, part: str) -> None:
        self.content = content
        self._directory = directory
        self._part = part

    def finish(self, name: str) -> None:
        """Give it its name, as a whole and readable for everybody; what had the name is replaced. Raises OSError."""
        self.content.flush()
        os.fchmod(self.content.fileno(), _FILE_MODE)
        os.replace(self._part, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)


@contextmanager
def new_file(root: Path, folder: str) -> Iterator[NewFile]:
    """A new file in a folder of a directory, which is made if need be; it is gone again unless it is finished.

    Raises:
        OSError: From the operating system.
    """
    with suppress(FileExistsError):
        root.joinpath(folder).mkdir()
    directory = _open_directory(root, [folder])
    os.fchmod(directory, _FOLDER_MODE)  # whatever our umask is
    part = f".{uuid.uuid4().hex}"
    try:
        with os.fdopen(os.open(part, _NEW, _FILE_MODE, dir_fd=directory), "w+b") as content:
            yield NewFile(directory, content, part)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=directory)
        os.close(directory)


def remove_output(root: Path, file: OutputFile) -> None:
    """Remove a file if it is there, and the folders above it that are empty then."""
    with suppress(OSError):
        *above, name = _parts(PurePosixPath(file.subfolder, file.filename))
        directory = _open_directory(root, above)
        try:
            os.unlink(name, dir_fd=directory)
        finally:
            os.close(directory)
        _remove_empty(root, above)


def remove_folder(root: Path, folder: str) -> None:
    """Remove a folder with all that is in it, and the folders above it that are empty then."""
    *above, name = PurePosixPath(folder).parts
    with suppress(OSError):
        directory = _open_directory(root, above)
        try:
            shutil.rmtree(name, ignore_errors=True, dir_fd=directory)
        finally:
            os.close(directory)
    _remove_empty(root, above)


def _remove_empty(root: Path, folders: list[str]) -> None:
    for depth in range(len(folders), 0, -1):
        with suppress(OSError):  # not empty: another attempt of the job has begun
            root.joinpath(*folders[:depth]).rmdir()


def folders(root: Path) -> list[str]:
    """Names of the folders in the output directory."""
    with suppress(OSError), os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return []


def _parts(path: PurePosixPath) -> tuple[str, ...]:
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in str(path):
        raise OSError(f"{path} is not below its directory")
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
