"""A file system without hard links, as SMB shares and object stores are: what a directory has, mounted elsewhere.

It runs in a process of its own, says so when it is there, and numbers files anew each time.
"""

# ruff: noqa: ARG002 - FUSE says what is passed

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Any

import mfusepy  # type: ignore[import-untyped]

_STAT = ("st_mode", "st_size", "st_uid", "st_gid", "st_nlink", "st_blocks", "st_mtime_ns", "st_atime_ns", "st_ctime_ns")
_VOLUME = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_files", "f_ffree", "f_frsize", "f_namemax")


class Linkless(mfusepy.Operations):  # type: ignore[misc]
    """Answers of the directory, but for links."""

    use_ns = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _at(self, path: str) -> Path:
        return self._directory / path[1:]

    def init(self, path: str) -> None:
        sys.stdout.write(f"{path}\n")
        sys.stdout.flush()

    def link(self, target: str, source: str) -> int:
        raise mfusepy.FuseOSError(errno.EPERM)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = self._at(path).lstat()
        return {name.removesuffix("_ns"): getattr(found, name) for name in _STAT}

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._at(path))
        return {name: getattr(found, name) for name in _VOLUME}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._at(path))]  # noqa: PTH208 - names are what is asked for

    def mkdir(self, path: str, mode: int) -> int:
        self._at(path).mkdir(mode)
        return 0

    def rmdir(self, path: str) -> int:
        self._at(path).rmdir()
        return 0

    def unlink(self, path: str) -> int:
        self._at(path).unlink()
        return 0

    def rename(self, old: str, new: str) -> int:
        self._at(old).replace(self._at(new))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self._at(path).chmod(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._at(path), uid, gid, follow_symlinks=False)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self._at(path), ns=times or (0, 0))
        return 0

    def create(self, path: str, mode: int, fi: object = None) -> int:
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path), flags)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._at(path) if fh is None else fh, length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0


def main() -> None:
    directory, mount = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        mfusepy.FUSE(
            Linkless(Path(directory)), mount, foreground=True, nothreads=True, attr_timeout=0, allow_other=True
        )


if __name__ == "__main__":
    main()
