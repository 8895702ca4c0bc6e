"""Trees of git repositories on disk: written so that they last, and hashed again as git would."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dulwich.index import validate_path_element_default
from dulwich.object_store import BaseObjectStore
from dulwich.objects import S_ISGITLINK, Blob, ObjectID, Tree

from comfyard.store.errors import RefusedError, UnsafePathError
from comfyard.store.files import DIRECTORY_MODE, FILE_MODE, sync_directory
from comfyard.store.git import lfs
from comfyard.store.stop import Stop

T = TypeVar("T", Blob, Tree)

_PROGRAM_MODE = 0o755
_FILE, _PROGRAM, _LINK, _FOLDER, _COMMIT = 0o100644, 0o100755, 0o120000, 0o040000, 0o160000


@dataclass
class Written:
    """What a tree does not tell from its names and contents on disk alone.

    Attributes:
        programs: Paths of files that may be executed; some volumes do not keep that.
        commits: The commit that a folder is of, where that is another repository's.
    """

    programs: set[str] = field(default_factory=set)
    commits: dict[str, str] = field(default_factory=dict)


class Checkout:
    """Writes trees into folders that are new and stay ours until it is done.

    Args:
        objects: Has all objects of the trees.
        shown: What messages call the repository.
        stop: Ends it from another thread.
    """

    def __init__(self, objects: BaseObjectStore, shown: str, stop: Stop) -> None:
        self._objects = objects
        self._shown = shown
        self._stop = stop

    def write(self, tree: ObjectID, folder: Path, path: str, written: Written) -> None:
        """Write a tree; durable when this returns. Folders of other repositories stay empty.

        Args:
            tree: Its hash.
            folder: Where to; it is there and empty.
            path: Of the folder, seen from the top; empty, or with a slash at its end.
            written: Takes what the disk does not tell.

        Raises:
            UnsafePathError: A name or a link leads out of the folder.
            RefusedError: It holds what is not to be had: objects that are missing or are no files, git-lfs' pointers.
            StoppedError: It was asked to stop.
            OSError: From the operating system.
        """
        for name, mode, sha in self._object(tree, path, Tree).iteritems():
            self._stop.check()
            safe = self._safe(name)
            self._entry(mode, sha, folder / safe, f"{path}{safe}", written)
        sync_directory(folder)

    def _safe(self, name: bytes) -> str:
        try:
            if b"/" not in name and validate_path_element_default(name):
                return name.decode()
        except UnicodeDecodeError:
            pass
        raise UnsafePathError(f"{self._shown} has a file called {name!r}, which is not safe to write; use a fork")

    def _entry(self, mode: int, sha: ObjectID, target: Path, path: str, written: Written) -> None:
        if mode == _FOLDER:
            _make(target)
            self.write(sha, target, f"{path}/", written)
        elif S_ISGITLINK(mode):
            _make(target)
            written.commits[path] = sha.decode()
        elif mode == _LINK:
            _link(self._object(sha, path, Blob).data, target, path, self._shown)
        elif mode in {_FILE, _PROGRAM}:
            content = self._object(sha, path, Blob).data
            if lfs.parse(content):
                raise RefusedError(f"{self._shown} keeps {path} in git-lfs; fetch it as a model, or use a fork without")
            _write(target, content, _PROGRAM_MODE if mode == _PROGRAM else FILE_MODE)
            if mode == _PROGRAM:
                written.programs.add(path)
        else:
            raise RefusedError(f"{self._shown}: {path} has mode {mode:o}, which git does not write any more")

    def _object(self, sha: ObjectID, path: str, kind: type[T]) -> T:
        found = self._objects[sha] if sha in self._objects else None  # noqa: SIM401 - it has no get
        if isinstance(found, kind):
            return found
        raise RefusedError(
            f"{self._shown}: the server does not give {path or 'the files'}; it may be too large for git, use a fork"
        )


def hash_folder(folder: Path, path: str, written: Written, stop: Stop) -> str:
    """Hash the tree that a folder holds, as git does.

    Args:
        folder: The folder.
        path: Of it, seen from the top; empty, or with a slash at its end.
        written: What the disk does not tell.
        stop: Ends it from another thread.

    Raises:
        StoppedError: It was asked to stop.
        OSError: From the operating system.
    """
    tree = Tree()
    with os.scandir(folder) as entries:
        for entry in entries:
            stop.check()
            below = f"{path}{entry.name}"
            name = os.fsencode(entry.name)
            if below in written.commits:
                tree.add(name, _COMMIT, ObjectID(written.commits[below].encode()))
            elif entry.is_dir(follow_symlinks=False):
                sha = hash_folder(Path(entry.path), f"{below}/", written, stop)
                tree.add(name, _FOLDER, ObjectID(sha.encode()))
            elif entry.is_symlink():
                tree.add(name, _LINK, Blob.from_string(os.fsencode(Path(entry.path).readlink())).id)
            else:
                mode = _PROGRAM if below in written.programs else _FILE
                content = Path(entry.path).read_bytes() if entry.is_file(follow_symlinks=False) else b""
                tree.add(name, mode, Blob.from_string(content).id)
    return tree.id.decode()


def _make(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(DIRECTORY_MODE)


def _write(file: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as opened:
        os.fchmod(descriptor, mode)
        opened.write(content)
        opened.flush()
        os.fsync(descriptor)


def _link(target: bytes, file: Path, path: str, shown: str) -> None:
    """Make a symbolic link, if it stays inside wherever the top is mounted.

    Folders above it are folders indeed, so leading dots mean what they say; dots further on may come after other links.
    """
    parts = target.split(b"/")
    up = next((index for index, part in enumerate(parts) if part != b".."), len(parts))
    if target.startswith(b"/") or b".." in parts[up:] or up > path.count("/"):
        raise UnsafePathError(f"{shown}: {path} is a link to {target!r}, which leads out of the repository")
    file.symlink_to(os.fsdecode(target))
