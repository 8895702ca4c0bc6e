"""Paths of models inside the store: what is a path, and walking it without leaving the store."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from comfyard.store.errors import PathConflictError, UnsafePathError
from comfyard.store.files import DIRECTORY_MODE, sync_directory_at

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_LONGEST_NAME = 255


def parts_of(path: str) -> tuple[str, ...]:
    """Split a model's path. Nothing here trusts the schema of the bundle to have refused bad ones.

    Raises:
        UnsafePathError: It is absolute, has no folder, or a part is empty, too long, starts with a dot or holds NUL.
    """
    parts = tuple(path.split("/"))
    if len(parts) < 2:  # noqa: PLR2004 - folder and file
        raise UnsafePathError(f"{path!r} names no folder of ComfyUI; write folder/file")
    for part in parts:
        if not part or part.startswith(".") or "\0" in part or len(os.fsencode(part)) > _LONGEST_NAME:
            raise UnsafePathError(f"{path!r}: a part is empty, starts with a dot or is too long; write folder/file")
    return parts


@contextmanager
def open_folder(root: Path, folders: Sequence[str], *, create: bool) -> Iterator[int]:
    """Open a folder below the root, one part at a time, and follow no symbolic link on the way.

    Args:
        root: The store; may itself be reached through links, it is the administrator's.
        folders: Names of the folders.
        create: Make what is missing, readable for everybody.

    Raises:
        UnsafePathError: A folder is a symbolic link: it could lead anywhere.
        PathConflictError: A folder's name is taken by a file.
        FileNotFoundError: It is not there and was not to be made.
        OSError: From the operating system.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for depth, name in enumerate(folders):
            if create:
                _make(descriptor, name)
            below = _enter(descriptor, name, "/".join(folders[: depth + 1]))
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _make(parent: int, name: str) -> None:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return
    os.chmod(name, DIRECTORY_MODE, dir_fd=parent)
    sync_directory_at(parent)


def _enter(parent: int, name: str, shown: str) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except NotADirectoryError as error:  # with O_DIRECTORY Linux says so of a symbolic link too
        if _is_link(parent, name):
            raise UnsafePathError(f"{shown} is a symbolic link, and models are not written through those") from error
        raise PathConflictError(f"{shown} is a file where a folder must be; remove it or change the path") from error


def _is_link(parent: int, name: str) -> bool:
    try:
        os.readlink(name, dir_fd=parent)
    except OSError:
        return False
    return True
