"""Files of git repositories, in git itself or in git-lfs."""

import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dulwich.errors import NotTreeError
from dulwich.object_store import tree_lookup_path
from dulwich.objects import ObjectID, SubmoduleEncountered
from pydantic import ValidationError

from comfyard.api.model_bundle import GitSource
from comfyard.store import errors
from comfyard.store.files import volume_errors
from comfyard.store.git import lfs
from comfyard.store.git.client import login
from comfyard.store.git.commits import Repository, repository
from comfyard.store.http.semantics import without_query
from comfyard.store.http.web import Web
from comfyard.store.origin import Local, Remote
from comfyard.store.stop import Stop


@dataclass(frozen=True)
class GitOrigin:
    """One file of a repository at one commit.

    Attributes:
        key: See Origin.
        source: What the bundle says.
        web: For the server.
        folder: On the volume, for what is fetched meanwhile.
    """

    key: str
    source: GitSource
    web: Web
    folder: Path

    @contextmanager
    def locate(self, stop: Stop) -> Iterator[Remote | Local]:
        """See Origin. What git-lfs keeps is fetched from there, with its SHA-256."""
        content, address = self._fetch(stop)
        pointer = lfs.parse(content)
        if pointer:
            yield self._remote(pointer, address, stop)
            return
        with tempfile.TemporaryFile(dir=self.folder) as file:  # has no name, so a crash leaves nothing
            with volume_errors(f"writing {self._shown}"):
                file.write(content)
                file.flush()
            del content
            yield Local(Path(f"/proc/self/fd/{file.fileno()}"), self._shown)

    @property
    def _shown(self) -> str:
        return f"{self.source.path} of {without_query(self.source.url)}"

    def _fetch(self, stop: Stop) -> tuple[bytes, str]:
        """The file as git has it, and where the repository is."""
        with (
            volume_errors(f"fetching {self._shown}"),
            repository(self.source.url, self.folder / self.key, self.web, stop) as found,
        ):
            tree = found.tree(self.source.commit, leave_out="blob:none")
            return found.file(self._look_up(found, tree)), found.url

    def _look_up(self, found: Repository, tree: ObjectID) -> ObjectID:
        path = self.source.path
        try:
            mode, sha = tree_lookup_path(found.objects.__getitem__, tree, path.encode())
        except (KeyError, NotTreeError) as error:
            raise errors.NotFoundError(f"there is no {self._shown} at {self.source.commit}; correct path") from error
        except SubmoduleEncountered as error:
            raise errors.NotFoundError(f"{self._shown} is in a submodule; name that repository as source") from error
        if not stat.S_ISREG(mode):
            raise errors.NotFoundError(f"{self._shown} is a folder or a link; correct path")
        return sha

    def _remote(self, pointer: lfs.Pointer, repository: str, stop: Stop) -> Remote:
        """Ask git-lfs where the file is."""
        batch = lfs.batch_address(repository)
        headers = {"Accept": lfs.MEDIA_TYPE, "Content-Type": lfs.MEDIA_TYPE, **login(self.web.credentials, batch)}
        shown = f"git-lfs for {self._shown}"
        try:
            answer, _ = self.web.post_json(batch, shown, stop, lfs.batch_request(pointer), headers)
            found = lfs.Answer.model_validate(answer).objects[0]
        except ValidationError:  # its text would quote headers
            raise errors.RefusedError(f"{shown} answers with what this version cannot read") from None
        action = found.actions.get("download")
        if action is None:
            said = found.error.message if found.error else "no address"
            raise errors.NotFoundError(f"{shown} does not have it: {said}; push it with git lfs push")
        return Remote(
            url=action.href,
            shown=self._shown,
            headers={**login(self.web.credentials, action.href), **action.header},
            size=pointer.size,
            sha256=pointer.sha256,
        )
