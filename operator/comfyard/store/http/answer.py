"""Answers of HTTP servers, while they come in."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException, InvalidURL

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, LocationValueError, SSLError

from comfyard.store import errors
from comfyard.store.http.connections import Wire
from comfyard.store.http.credentials import Place
from comfyard.store.http.hosts import Slot
from comfyard.store.http.semantics import error_of, parse_retry_after, without_query
from comfyard.store.origin import Remote
from comfyard.store.stop import Stop

_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


@dataclass(frozen=True)
class Asked:
    """A request to one place.

    Attributes:
        stop: Ends it.
        place: Where it went.
        sent: Whether it showed an Authorization.
    """

    stop: Stop
    place: Place
    sent: bool


class Answer:
    """One answer and its body.

    Attributes:
        status: Of HTTP; never a redirect, unless those were not to be followed.
        headers: Names in any case.
        where: The address that gave it, after redirects: to be asked directly the next time.
    """

    def __init__(
        self, response: BaseHTTPResponse, wire: Wire, where: Remote, asked: Asked, slot: Slot, holding: ExitStack
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.where = where
        self._wire = wire
        self._asked = asked
        self._slot = slot
        self._holding = holding
        slot.refused = self.status in _BUSY

    def error(self) -> errors.StoreError | None:
        """What its status says is wrong; None when it brings what was asked for."""
        wait = parse_retry_after(self.headers.get("retry-after"), datetime.now(UTC))
        return error_of(self.status, self.where.shown, wait, self._asked.place.shown, sent=self._asked.sent)

    def read_into(self, buffer: memoryview) -> int:
        """What has arrived of the body; waits if that is nothing.

        Returns:
            How many bytes; 0 at the end, also at one that is too early.

        Raises:
            UnreachableError: It broke off.
            RefusedError: It is compressed.
            StoppedError: It was asked to stop.
        """
        if self.headers.get("content-encoding", "identity") != "identity":
            raise errors.RefusedError(f"{self.where.shown} sends it compressed, though asked not to")
        self._asked.stop.check()
        with request_errors(self.where.shown, self._asked.stop):
            count = self._wire.read_into(buffer)
        if not count:
            self._asked.stop.check()  # who stops hangs up
        self._slot.received += count
        return count

    def read(self, most: int) -> bytes:
        """The same in memory of its own, at most so many bytes."""
        buffer = bytearray(most)
        return bytes(buffer[: self.read_into(memoryview(buffer))])

    def close(self) -> None:
        """Give the connection back; it stays open for the next request if all was read. May be called twice."""
        self._holding.close()


@contextmanager
def request_errors(shown: str, stop: Stop) -> Iterator[None]:
    """Turn what urllib3 says into errors of the store.

    Args:
        shown: What messages call the address.
        stop: Asked first: who stops has closed the connection.

    Raises:
        RefusedError: The address is none.
        UnreachableError: Anything else.
        StoppedError: It was asked to stop.
    """
    try:
        yield
    except (LocationValueError, InvalidURL) as error:  # their texts quote the address
        raise errors.RefusedError(f"{shown} leads to what is not an address; correct the source") from error
    except (HTTPError, HTTPException, OSError) as error:
        stop.check()
        raise errors.UnreachableError(f"{shown}: {_say(error)}") from error


def _say(error: Exception) -> str:
    said = f"{type(error).__name__}: {without_query(str(error))}"
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in said:
        return f"{said}; if its authority is your own, mount it and name the file in SSL_CERT_FILE"
    return said
