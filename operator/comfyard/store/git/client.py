"""git's protocol over our own HTTP: dulwich speaks it, Web decides what is shown to whom and can be stopped."""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from dulwich.client import AbstractHttpGitClient

from comfyard.store import errors
from comfyard.store.http.answer import Answer
from comfyard.store.http.credentials import Basic, Credentials
from comfyard.store.http.web import Request, Web
from comfyard.store.origin import Remote
from comfyard.store.stop import Stop

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_REFS = "info/refs?service=git-upload-pack"
_SMART = "application/x-git-"
_ERROR = re.compile(rb"[0-9a-f]{4}ERR ([^\n\0]{1,200})")
_PIECE = 64 * 1024


def login(credentials: Credentials, url: str) -> dict[str, str]:
    """The Authorization that Web would not know: git servers want tokens as a password, whoever the user."""
    scheme, _, token = credentials.headers_for(url).get("Authorization", "").partition(" ")
    return {"Authorization": Basic("x-access-token", token).header} if scheme == "Bearer" else {}


class GitClient(AbstractHttpGitClient):
    """Fetches from one repository.

    Args:
        url: Its address.
        shown: What messages call it.
        web: For all requests.
        stop: Ends them from another thread.
        most: Bytes that an answer may have.

    Attributes:
        url: The address, after redirects.
    """

    def __init__(self, url: str, shown: str, web: Web, stop: Stop, most: int) -> None:
        super().__init__(url, thin_packs=False, quiet=True)
        self.url = url
        self._shown = shown
        self._web = web
        self._stop = stop
        self._most = most
        self._answers = ExitStack()

    def close(self) -> None:  # type: ignore[explicit-override] # @override is of Python 3.12
        """Give up answers that dulwich has not closed, which it does when something fails."""
        self._answers.close()

    def _http_request(  # type: ignore[explicit-override] # see close
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,  # noqa: FBT001, FBT002, ARG002 - dulwich's signature
    ) -> tuple[Any, Callable[[int], bytes]]:
        """As dulwich wants it: an answer with some attributes, and what reads exactly so many bytes."""
        remote = Remote(url, self._shown, login(self._web.credentials, url))
        if data is None:
            return self._refs(remote, headers or {})
        request = Request("POST", data if isinstance(data, bytes) else b"".join(data), follow=False)
        answer = self._answers.enter_context(self._web.open(remote, self._stop, headers, request))
        body = self._body(answer)
        refusal = _ERROR.match(body.peek(_PIECE))  # dulwich takes it for a lost connection
        if refusal:
            raise self._refused(refusal[1].decode(errors="replace"))
        return _Response(answer.headers, "", answer.close), body.read

    def _refs(self, remote: Remote, headers: Mapping[str, str]) -> tuple[Any, Callable[[int], bytes]]:
        """What the server can. Read at once: dulwich asks its next question before it lets go of this answer."""
        if not remote.url.endswith(_REFS):
            raise errors.RefusedError(f"{self._shown} keeps files at other addresses, which is not supported")
        with self._web.open(remote, self._stop, headers) as answer:
            body = self._body(answer)
            if not answer.headers.get("content-type", "").startswith(_SMART):
                raise errors.RefusedError(f"{self._shown} is no git repository, or not served as one; correct url")
            content = body.read()
        end = answer.where.url
        self.url = end.removesuffix(_REFS).rstrip("/")
        return _Response(answer.headers, "" if end == remote.url else end, lambda: None), io.BytesIO(content).read

    def _body(self, answer: Answer) -> io.BufferedReader:
        error = answer.error()
        if isinstance(error, errors.UnauthorizedError):
            raise errors.UnauthorizedError(f"{error}; or correct url: to many servers what is not there is private")
        if error:
            raise error
        return io.BufferedReader(_Body(answer, self._shown, self._most), _PIECE)

    def _refused(self, said: str) -> errors.StoreError:
        if "not our ref" in said:
            return errors.NotFoundError(f"{self._shown} has no such commit; correct commit ({said})")
        return errors.RefusedError(f"{self._shown} refuses: {said}")


class _Response:
    """What dulwich wants to know of an answer."""

    status = 200

    def __init__(self, headers: Mapping[str, str], redirect_location: str, close: Callable[[], None]) -> None:
        self.content_type = headers.get("content-type")
        self.redirect_location = redirect_location
        self.close = close


class _Body(io.RawIOBase):
    """The body of an answer, up to a bound."""

    def __init__(self, answer: Answer, shown: str, most: int) -> None:
        self._answer = answer
        self._shown = shown
        self._left = most

    def readable(self) -> bool:  # type: ignore[explicit-override] # see GitClient.close
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:  # type: ignore[explicit-override] # see GitClient.close
        room = memoryview(buffer).cast("B")
        count = self._answer.read_into(room)
        self._left -= count
        if self._left < 0:
            raise errors.RefusedError(f"{self._shown} is too large for git; keep large files in git-lfs, or elsewhere")
        return count
