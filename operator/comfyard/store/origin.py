"""What a source is to the rest of the store: something that says where the bytes are."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from comfyard.store.stop import Stop


@dataclass(frozen=True)
class Remote:
    """Bytes behind an address.

    Attributes:
        url: May be signed, so it is never shown or kept.
        shown: What messages call it; no secret.
        headers: For the address's own scheme, host and port; they do not go along with redirects elsewhere.
        size: Bytes of the whole file, if the source says so.
        sha256: What the source says the file is, if it does.
    """

    url: str = field(repr=False)
    shown: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Local:
    """A file that is on this machine, for as long as it was lent.

    Attributes:
        file: Where.
        shown: What messages call it.
    """

    file: Path
    shown: str


class Origin(Protocol):
    """One file at one source."""

    @property
    def key(self) -> str:
        """Tells this file at this source from all others; no secret can be read from it."""

    def locate(self, stop: Stop) -> AbstractContextManager[Remote | Local]:
        """Find out where the bytes are now. An address may be good for a while only: it is asked for again then.

        Raises:
            StoreError: With the cause.
            StoppedError: It was asked to stop.
        """
