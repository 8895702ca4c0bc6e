"""Commits of git repositories, fetched alone: no history, no branches, and no git program."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dulwich.object_store import BaseObjectStore
from dulwich.objects import Commit, ObjectID
from dulwich.repo import Repo

from comfyard.store import errors
from comfyard.store.files import make_directory
from comfyard.store.git.client import GitClient
from comfyard.store.http.semantics import without_query
from comfyard.store.http.web import Web
from comfyard.store.stop import Stop

LARGEST_FILE = "100m"
"""Of a file in git, in git's words: dulwich holds it in memory, several times. Large hosters have the same bound."""

_LOOK_SECONDS = 0.2
_MEMORY = threading.Lock()
_MOST_FILE = 100 * 1024 * 1024
_MOST_COMMIT = 512 * 1024 * 1024


class Repository:
    """One repository on a server, and a bare one on disk that takes what is fetched of it.

    Attributes:
        url: The server's address, after redirects.
    """

    def __init__(self, url: str, repo: Repo, web: Web, stop: Stop) -> None:
        self.url = url
        self._shown = without_query(url)
        self._repo = repo
        self._web = web
        self._stop = stop

    @property
    def objects(self) -> BaseObjectStore:
        """What was fetched."""
        return self._repo.object_store

    def tree(self, commit: str, leave_out: str) -> ObjectID:
        """Fetch a commit with its tree; gives the tree's hash.

        Args:
            commit: Its hash.
            leave_out: git's filter for files that need not come; some servers send them all the same.

        Raises:
            StoreError: With the cause.
            StoppedError: It was asked to stop.
            OSError: From the operating system.
        """
        self._fetch(commit, _MOST_COMMIT, 1, leave_out)
        found = self.objects[ObjectID(commit.encode())]
        if not isinstance(found, Commit):
            raise errors.NotFoundError(f"{commit} of {self._shown} is not a commit; correct commit")
        return ObjectID(found.tree)

    def file(self, sha: ObjectID) -> bytes:
        """A file of a tree, which is fetched now if it was left out. Raises like `tree`."""
        if sha not in self.objects:
            self._fetch(sha.decode(), _MOST_FILE, None, None)
        return self.objects[sha].as_raw_string()

    def _fetch(self, wanted: str, most: int, depth: int | None, leave_out: str | None) -> None:
        sha = ObjectID(wanted.encode())
        with closing(GitClient(self.url, self._shown, self._web, self._stop, most)) as client:
            try:
                client.fetch(
                    "",
                    self._repo,
                    determine_wants=lambda *_, **__: [sha],
                    depth=depth,
                    ref_prefix=[b"HEAD"],  # else the server lists all that it has
                    filter_spec=leave_out.encode() if leave_out else None,
                )
            except (errors.StoreError, errors.StoppedError, OSError):
                raise
            except Exception as error:  # dulwich stumbles over nonsense in many ways: struct, zlib, buffers, its own
                said = without_query(str(error))
                raise errors.UnreachableError(f"{self._shown} broke off, or sends nonsense: {said}") from error
        self.url = client.url
        if sha not in self.objects:
            raise errors.NotFoundError(f"{self._shown} does not give {wanted}; correct the source")


@contextmanager
def repository(url: str, folder: Path, web: Web, stop: Stop) -> Iterator[Repository]:
    """A repository, fetched into a folder that is made for it and goes away again; one at a time, for the memory.

    Raises:
        StoppedError: It was asked to stop.
        OSError: From the operating system.
    """
    with alone(_MEMORY, stop):
        shutil.rmtree(folder, ignore_errors=True)
        make_directory(folder)
        try:
            with Repo.init_bare(folder) as repo:
                yield Repository(url, repo, web, stop)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(lock: threading.Lock, stop: Stop) -> Iterator[None]:
    """Hold a lock. Raises StoppedError when it is asked to stop while it waits."""
    while not lock.acquire(timeout=_LOOK_SECONDS):
        stop.check()
    try:
        yield
    finally:
        lock.release()
