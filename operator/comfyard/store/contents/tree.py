"""The tree that ComfyUI sees: each file is there whole or not at all, and nothing is reached through symbolic links."""

import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from comfyard.store.errors import PathConflictError
from comfyard.store.files import FILE_MODE, sync_directory_at
from comfyard.store.layout import OWN
from comfyard.store.paths import open_folder, parts_of

Owner = Callable[[str, os.stat_result], str | None]
"""The SHA-256 that a file at a path has, if it is one of ours."""


class Tree:
    """The paths of models. All methods raise OSError, UnsafePathError and PathConflictError.

    Args:
        root: The store.
        new: A directory of the same file system, where links begin their life.
    """

    def __init__(self, root: Path, new: Path) -> None:
        self._root = root
        self._new = new

    def look(self, path: str) -> os.stat_result | None:
        """The stat of the file at a path; None when there is none, or it is a symbolic link."""
        with suppress(FileNotFoundError), self._folder(path, create=False) as (folder, name):
            found = os.lstat(name, dir_fd=folder)
            _refuse_directory(found, path)
            return found if stat.S_ISREG(found.st_mode) else None
        return None

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """All that is not a folder, and not ours alone, as paths with their stats; what vanishes meanwhile is left out.

        Symbolic links are told, not followed.
        """
        for folder, folders, files in os.walk(self._root):
            below = Path(folder)
            if below == self._root and OWN in folders:
                folders.remove(OWN)
            for name in [*files, *folders]:
                with suppress(FileNotFoundError):
                    found = (below / name).lstat()
                    if not stat.S_ISDIR(found.st_mode):
                        yield str((below / name).relative_to(self._root)), found

    def link(self, file: Path, path: str) -> None:
        """Make a file visible under a path too, in place of what was there. Durable when this returns."""
        with self._folder(path, create=True) as (folder, name), self._link(file) as link:
            with suppress(FileNotFoundError):
                there = os.lstat(name, dir_fd=folder)
                _refuse_directory(there, path)
                if os.path.samestat(there, file.lstat()):
                    return
            os.rename(link, name, dst_dir_fd=folder)
            sync_directory_at(folder)

    def move(self, file: Path, path: str) -> None:
        """Make a file visible under a path instead of where it is. Durable when this returns."""
        with self._folder(path, create=True) as (folder, name):
            with suppress(FileNotFoundError):
                _refuse_directory(os.lstat(name, dir_fd=folder), path)
            os.rename(file, name, dst_dir_fd=folder)
            sync_directory_at(folder)

    def adopt(self, path: str, looked: os.stat_result, blob: Path) -> bool:
        """Take a file that was at its path before us among the files by content, if it is still that file.

        Returns:
            Whether that was done; it may not be allowed.
        """
        with self._folder(path, create=False) as (folder, name):
            try:
                os.link(name, blob, src_dir_fd=folder, follow_symlinks=False)
            except PermissionError:  # fs.protected_hardlinks: it is another user's
                return False
        with suppress(PermissionError):
            if os.path.samestat(blob.lstat(), looked):
                _open_to_readers(blob)
                return True
        blob.unlink()
        return False

    def open_to_readers(self, path: str) -> None:
        """Let everybody read the file at a path."""
        with self._folder(path, create=False) as (folder, name):
            _open_to_readers(name, folder)

    def unlink(self, path: str, when: Callable[[os.stat_result], bool]) -> bool:
        """Take a file away, with folders that are empty then, except those of ComfyUI itself.

        Args:
            path: Where it is.
            when: Whether it is the one that is meant.

        Returns:
            Whether it was taken away.
        """
        with suppress(FileNotFoundError), self._folder(path, create=False) as (folder, name):
            if not when(os.lstat(name, dir_fd=folder)):
                return False
            os.unlink(name, dir_fd=folder)
            sync_directory_at(folder)
            self._remove_empty(parts_of(path)[:-1])
            return True
        return False

    def _remove_empty(self, folders: tuple[str, ...]) -> None:
        with suppress(OSError):  # one is not empty: it stays, and those above it
            for depth in range(len(folders) - 1, 0, -1):
                with open_folder(self._root, folders[:depth], create=False) as above:
                    os.rmdir(folders[depth], dir_fd=above)

    @contextmanager
    def _folder(self, path: str, *, create: bool) -> Iterator[tuple[int, str]]:
        *folders, name = parts_of(path)
        with open_folder(self._root, folders, create=create) as folder:
            yield folder, name

    @contextmanager
    def _link(self, file: Path) -> Iterator[Path]:
        """A further name of the file. It goes away again: rename does nothing when both names are of one file."""
        link = self._new / uuid.uuid4().hex
        os.link(file, link, follow_symlinks=False)
        try:
            yield link
        finally:
            link.unlink(missing_ok=True)


def _refuse_directory(found: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise PathConflictError(f"{path} is a directory on the volume; remove it or change the path")


def _open_to_readers(file: str | Path, folder: int | None = None) -> None:
    mode = stat.S_IMODE(os.stat(file, dir_fd=folder, follow_symlinks=False).st_mode)
    if mode & FILE_MODE != FILE_MODE:
        os.chmod(file, FILE_MODE, dir_fd=folder)
