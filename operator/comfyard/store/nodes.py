"""Custom nodes: packages from git, each at one commit, where server pods mount them.

.comfyard/nodes/<commit>/       the files as git has them, those of submodules too, without .git
.comfyard/nodes/<commit>.json   that they are whole; written last
.comfyard/nodes/<commit>.new/   on their way
.comfyard/nodes/<commit>.old/   on their way out
"""

import io
import os
import shutil
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from dulwich.config import ConfigFile, parse_submodules
from pydantic import BaseModel, ConfigDict, ValidationError

from comfyard.store.errors import RefusedError, UnsupportedVolumeError
from comfyard.store.files import make_directory, read_or_none, sync_directory, volume_errors, write_durably
from comfyard.store.git.checkout import Checkout, Written, hash_folder
from comfyard.store.git.commits import LARGEST_FILE, alone, repository
from comfyard.store.http.semantics import without_query
from comfyard.store.http.web import Web
from comfyard.store.layout import Layout
from comfyard.store.stop import Stop

_MARKER, _NEW, _OLD = ".json", ".new", ".old"
_DEEPEST = 4


class _Package(BaseModel):
    """What is known of a package besides its files.

    Attributes:
        tree: Hash of its files.
        submodules: Hashes of the files of other repositories in it, by folder.
        commits: Their commits.
        programs: Files that may be executed.
    """

    model_config = ConfigDict(frozen=True)

    tree: str
    submodules: dict[str, str]
    commits: dict[str, str]
    programs: set[str]

    def with_submodule(self, path: str, inner: "_Package") -> "_Package":
        """This package, with that of a submodule at its place."""
        return _Package(
            tree=self.tree,
            submodules={**self.submodules, path: inner.tree, **_below(path, inner.submodules)},
            commits={**self.commits, **_below(path, inner.commits)},
            programs={*self.programs, *(f"{path}/{program}" for program in inner.programs)},
        )

    def is_at(self, folder: Path, stop: Stop) -> bool:
        """Whether a folder holds exactly these files. Raises OSError and StoppedError."""
        written = Written(self.programs, self.commits)
        trees = {"": self.tree, **{f"{path}/": tree for path, tree in self.submodules.items()}}
        return all(hash_folder(folder / path, path, written, stop) == tree for path, tree in trees.items())


def _below(path: str, inner: dict[str, str]) -> dict[str, str]:
    return {f"{path}/{name}": value for name, value in inner.items()}


class NodeStore:
    """The packages of one volume. One process may write to it; its methods may be called from many threads.

    Args:
        layout: Of the volume.
        web: For git servers.
    """

    def __init__(self, layout: Layout, web: Web) -> None:
        self._layout = layout
        self._web = web
        self._lock = threading.Lock()

    def ensure(self, name: str, url: str, commit: str, stop: Stop) -> str:
        """Bring a package into place.

        Args:
            name: What messages call it.
            url: Of its repository.
            commit: Its hash.
            stop: Ends it from another thread.

        Returns:
            git's hash of its files.

        Raises:
            StoreError: With the cause.
            StoppedError: It was asked to stop.
        """
        with volume_errors(f"fetching custom nodes {name}"), alone(self._lock, stop):
            there = self._recall(commit)
            if there is None:
                there = self._fetch(url, commit, stop)
            return there.tree

    def verify(self, commit: str, stop: Stop) -> str | None:
        """Read a package again; gives the hash of its files.

        Returns:
            None: it is not there, or not as it was; `ensure` fetches it then.

        Raises:
            StoreError: The volume does not read or write.
            StoppedError: It was asked to stop.
        """
        with volume_errors(f"reading custom nodes at {commit}"), alone(self._lock, stop):
            there = self._recall(commit)
            if there is None or there.is_at(self._path(commit), stop):
                return there.tree if there else None
            self._marker(commit).unlink()
            return None

    def sweep(self, wanted: Collection[str]) -> None:
        """Remove packages of other commits, and what a crash left. Raises StoreError.

        Args:
            wanted: Commits.
        """
        with volume_errors("clearing custom nodes"), alone(self._lock, Stop()):
            for entry in list(self._layout.nodes.iterdir()):
                commit = entry.name.partition(".")[0]
                if entry.suffix in {_NEW, _OLD}:
                    _discard(entry)
                elif commit not in wanted:
                    self._remove(commit)

    def _fetch(self, url: str, commit: str, stop: Stop) -> _Package:
        self._remove(commit)
        new = self._path(commit, _NEW)
        make_directory(new)
        package = self._check_out(url, commit, new, stop)
        if not package.is_at(new, stop):
            raise UnsupportedVolumeError(
                f"what was written of {commit} does not hash to its tree; use a volume with a POSIX file system, or a "
                "fork of the repository if it has two files of one name"
            )
        new.rename(self._path(commit))
        sync_directory(self._layout.nodes)
        write_durably(self._marker(commit), package.model_dump_json().encode())
        return package

    def _check_out(self, url: str, commit: str, folder: Path, stop: Stop, depth: int = 0) -> _Package:
        """Write the files of a commit, and those of its submodules, into an empty folder."""
        written = Written()
        with repository(url, self._layout.git / commit, self._web, stop) as found:
            tree = found.tree(commit, leave_out=f"blob:limit={LARGEST_FILE}")
            Checkout(found.objects, without_query(url), stop).write(tree, folder, "", written)
            address = found.url
        package = _Package(tree=tree.decode(), submodules={}, commits=written.commits, programs=written.programs)
        for path, below in written.commits.items():
            if depth == _DEEPEST:
                raise RefusedError(f"{without_query(url)} has submodules inside of submodules without end; use a fork")
            inner = self._check_out(_submodule(folder, address, path), below, folder / path, stop, depth + 1)
            package = package.with_submodule(path, inner)
        return package

    def _recall(self, commit: str) -> _Package | None:
        """What is known of a package that is in place."""
        content = read_or_none(self._marker(commit))
        if content is None or not self._path(commit).is_dir():
            return None
        try:
            return _Package.model_validate_json(content)
        except ValidationError:
            return None

    def _remove(self, commit: str) -> None:
        """First it counts no longer as there, then it has another name, then it goes."""
        self._marker(commit).unlink(missing_ok=True)
        sync_directory(self._layout.nodes)
        old = self._path(commit, _OLD)
        _discard(old)
        with suppress(FileNotFoundError):
            self._path(commit).rename(old)
        for leaving in (old, self._path(commit, _NEW)):
            _discard(leaving)

    def _path(self, commit: str, suffix: str = "") -> Path:
        return self._layout.nodes / f"{commit}{suffix}"

    def _marker(self, commit: str) -> Path:
        return self._path(commit, _MARKER)


def _discard(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def _submodule(folder: Path, above: str, path: str) -> str:
    """The address of a submodule, from .gitmodules of the repository above it.

    Raises:
        RefusedError: It has none that can be fetched.
    """
    content = read_or_none(folder / ".gitmodules") or b""
    try:
        config = ConfigFile.from_file(io.BytesIO(content), expand_includes=False)
    except ValueError as error:
        raise RefusedError(f"{without_query(above)} has a .gitmodules that cannot be read; use a fork") from error
    found = {os.fsdecode(where): url.decode(errors="replace") for where, url, _ in parse_submodules(config)}
    url = found.get(path, "")
    if url.startswith(("./", "../")):
        url = urljoin(f"{above}/", url)
    parts = urlsplit(url)
    if path not in found or parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        said = without_query(found.get(path, "no address"))
        raise RefusedError(
            f"submodule {path} of {without_query(above)} is at {said}; only http(s) is supported, use a fork"
        )
    return url
