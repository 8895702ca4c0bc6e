"""Results on a mounted PersistentVolumeClaim."""

import asyncio
import errno
import os
import shutil
import uuid
from pathlib import Path

from comfyard.outputs.reading import Content
from comfyard.outputs.store import OutputError

_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class ClaimStore:
    """Files below a folder of a claim, readable by whoever else mounts it: 0644 in folders of 0755."""

    def __init__(self, directory: Path, claim: str, path: str = "") -> None:
        """Use the claim that is mounted at `directory`; results go below its folder `path`."""
        self._directory = directory
        self._claim = claim
        self._path = path

    async def put(self, key: str, file: Content, content_type: str) -> str:
        """See ResultStore. A claim keeps no content types."""
        del content_type
        name = f"{self._path}/{key}" if self._path else key
        try:
            await asyncio.to_thread(self._put, name, file)
        except OSError as error:
            raise self._explain(name, error) from error
        return f"claim://{self._claim}/{name}"

    def _put(self, name: str, file: Content) -> None:
        target = self._directory / name
        _make_directories(self._directory, target.parent)
        if not target.parent.resolve().is_relative_to(self._directory.resolve()):
            raise PermissionError(errno.EPERM, "a link in the claim leads out of it")
        unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with unfinished.open("xb") as copy:
                file.seek(0)
                shutil.copyfileobj(file, copy, 1024 * 1024)
                os.fchmod(copy.fileno(), _FILE_MODE)
                copy.flush()
                os.fsync(copy.fileno())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        _sync_directory(target.parent)

    def _explain(self, name: str, error: OSError) -> OutputError:
        why = error.strerror or str(error)
        if error.errno in _FULL:
            fix = "delete files from the claim, or enlarge it"
        elif error.errno in _FORBIDDEN:
            fix = "let the pod's group write to the volume (fsGroup, or the export's permissions)"
        else:
            fix = "see whether the volume is healthy"
        message = f"claim {self._claim} does not take {name}: {why}; {fix}"
        return OutputError(message, transient=error.errno not in _FORBIDDEN)


def _make_directories(root: Path, directory: Path) -> None:
    """Make what is missing between the root and the folder, each synced into its parent."""
    for folder in reversed([directory, *directory.parents]):
        if folder.is_relative_to(root) and folder != root and not folder.is_dir():
            folder.mkdir(exist_ok=True)
            folder.chmod(_DIRECTORY_MODE)
            _sync_directory(folder.parent)


def _sync_directory(directory: Path) -> None:
    """Make names durable; without it a crash of the node may forget a file that is reported as stored."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a network file system without such a thing
            raise
    finally:
        os.close(descriptor)
