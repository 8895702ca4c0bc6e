"""Where the bytes of one file are while it is fetched: found out anew when an address has expired."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from comfyard.store.errors import ForbiddenError, SourceChangedError, StoreError, UnauthorizedError
from comfyard.store.http.answer import Answer
from comfyard.store.http.web import Web
from comfyard.store.origin import Origin, Remote
from comfyard.store.stop import Stop

_EXPIRED = (UnauthorizedError, ForbiddenError)


class Address:
    """The address of a file, shared by the threads that fetch it.

    Redirects are followed once, and the host at their end is asked directly from then on. When it refuses what it gave
    before, they are followed again; when that is of no use either, the origin is asked where the bytes are now. A
    refusal without a byte in between is an error.

    Args:
        origin: Says where the bytes are.
        remote: What it said.
        web: Asks.
        worked: Whether the origin gave bytes before, in an earlier attempt.
    """

    def __init__(self, origin: Origin, remote: Remote, web: Web, *, worked: bool) -> None:
        self.located = remote
        self._origin = origin
        self._web = web
        self._direct: Remote | None = None
        self._worth_renewing = worked
        self._renewing = threading.Lock()
        self._lent = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lent.__exit__(kind, error, trace)  # origins explain errors of what they lent

    @contextmanager
    def open(self, headers: Mapping[str, str], stop: Stop) -> Iterator[Answer]:
        """Ask for the file, or for a part of it.

        Args:
            headers: Which part, of which version.
            stop: Ends it from another thread.

        Raises:
            StoreError: The answer is not that.
            StoppedError: It was asked to stop.
        """
        while True:
            asked = self._direct or self.located
            with self._web.open(asked, stop, headers) as answer:
                error = answer.error()
                if error is None:
                    self._direct = None if answer.where is self.located else answer.where
                    self._worth_renewing = True
                    yield answer
                    return
            self._renew(asked, error, stop)

    def _renew(self, asked: Remote, error: StoreError, stop: Stop) -> None:
        """Have another address than the one that was refused, or raise."""
        if not isinstance(error, _EXPIRED):
            raise error
        with self._renewing:
            if asked is self._direct:
                self._direct = None
                return
            if self._direct or asked is not self.located:  # another thread has found a better one meanwhile
                return
            if not self._worth_renewing:
                raise error
            found = self._lent.enter_context(self._origin.locate(stop))
            if not isinstance(found, Remote) or found.sha256 != self.located.sha256:
                raise SourceChangedError(f"{self.located.shown} has changed while it was fetched")
            self.located = found
            self._worth_renewing = False
