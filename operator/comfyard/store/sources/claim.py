"""Files of other claims, and files that are on the claim itself already."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from comfyard.api.model_bundle import ClaimSource
from comfyard.store.errors import NotFoundError, PathConflictError, RefusedError, UnsafePathError
from comfyard.store.files import volume_errors
from comfyard.store.origin import Local
from comfyard.store.paths import open_folder
from comfyard.store.stop import Stop

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class ClaimOrigin:
    """One file of a claim that is mounted.

    Attributes:
        key: See Origin.
        source: What the bundle says.
        mount: Where the claim is, if it is.
    """

    key: str
    source: ClaimSource
    mount: Path

    @contextmanager
    def locate(self, stop: Stop) -> Iterator[Local]:
        """See Origin. The file is lent open: who else writes to that claim cannot put a link in its place meanwhile."""
        stop.check()
        descriptor = self._open()
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise RefusedError(f"{self._shown} is not a file; correct source.claim.path")
            yield Local(Path(f"/proc/self/fd/{descriptor}"), self._shown)
        finally:
            os.close(descriptor)

    @property
    def _shown(self) -> str:
        return f"{self.source.path} of claim {self.source.name}"

    def _open(self) -> int:
        *folders, name = self.source.path.split("/")
        if not {"", ".", ".."}.isdisjoint({*folders, name}):
            raise UnsafePathError(f"{self.source.path!r} has parts that are empty or dots; write it without them")
        if not self.mount.is_dir():
            raise NotFoundError(
                f"claim {self.source.name} is not mounted; create it in this namespace, or correct source.claim.name"
            )
        with volume_errors(f"opening {self._shown}"):
            try:
                with open_folder(self.mount, folders, create=False) as folder:
                    return os.open(name, _FILE, dir_fd=folder)
            except (FileNotFoundError, PathConflictError) as error:
                raise NotFoundError(f"there is no {self._shown}; correct source.claim.path") from error
            except UnsafePathError as error:
                raise self._linked() from error
            except OSError as error:
                raise (self._linked() if error.errno == errno.ELOOP else error) from error

    def _linked(self) -> UnsafePathError:
        return UnsafePathError(f"{self._shown} is behind a symbolic link; name the file that it leads to")


@dataclass(frozen=True)
class ExistingOrigin:
    """A file that must be there already: asked for its bytes, it was not.

    Attributes:
        key: See Origin.
        path: Its path on the claim.
    """

    key: str
    path: str

    def locate(self, stop: Stop) -> AbstractContextManager[Local]:
        """See Origin."""
        stop.check()
        raise NotFoundError(f"there is no {self.path} on the claim; put it there, or name a source")
