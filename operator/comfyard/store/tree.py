"""The tree that ComfyUI sees: hard links to verified files, each there whole or not at all."""

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from comfyard.store.errors import PathConflictError, UnsupportedVolumeError
from comfyard.store.files import FILE_MODE, sync_directory_at
from comfyard.store.paths import open_folder, parts_of

_NO_LINKS = {errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV}


class Tree:
    """The paths of models. All methods raise OSError, UnsafePathError, PathConflictError and UnsupportedVolumeError.

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

    def publish(self, file: Path, path: str) -> None:
        """Make a verified file visible under a path, in place of what was there. Durable when this returns."""
        with self._folder(path, create=True) as (folder, name), self._link(file) as link:
            with suppress(FileNotFoundError):
                there = os.lstat(name, dir_fd=folder)
                _refuse_directory(there, path)
                if os.path.samestat(there, file.lstat()):
                    return
            os.rename(link, name, dst_dir_fd=folder)
            sync_directory_at(folder)

    def adopt(self, path: str, blob: Path) -> bool:
        """Take a file that was at its path before us among the files by content; whether that is allowed."""
        with self._folder(path, create=False) as (folder, name):
            try:
                os.link(name, blob, src_dir_fd=folder, follow_symlinks=False)
                blob.chmod(FILE_MODE)
            except PermissionError:  # fs.protected_hardlinks: it is another user's
                return False
            return True

    def withdraw(self, path: str, inode: int) -> None:
        """Take a file away that is known to be wrong, if it is still the one at that path."""
        with suppress(FileNotFoundError), self._folder(path, create=False) as (folder, name):
            if os.lstat(name, dir_fd=folder).st_ino == inode:
                os.unlink(name, dir_fd=folder)
                sync_directory_at(folder)

    def sweep(self) -> None:
        """Remove links that a crash left on their way."""
        for entry in self._new.iterdir():
            entry.unlink(missing_ok=True)

    @contextmanager
    def _folder(self, path: str, *, create: bool) -> Iterator[tuple[int, str]]:
        *folders, name = parts_of(path)
        with open_folder(self._root, folders, create=create) as folder:
            yield folder, name

    @contextmanager
    def _link(self, file: Path) -> Iterator[Path]:
        """A further name of the file. It goes away again: rename does nothing when both names are of one file."""
        link = self._new / uuid.uuid4().hex
        with _link_errors():
            os.link(file, link, follow_symlinks=False)
        try:
            yield link
        finally:
            link.unlink(missing_ok=True)


def _refuse_directory(found: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise PathConflictError(f"{path} is a directory on the volume; remove it or change the path")


@contextmanager
def _link_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise UnsupportedVolumeError(
                f"the volume has no hard links ({error.strerror}); use a storage class with a POSIX file system"
            ) from error
        raise
