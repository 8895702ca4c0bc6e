"""Files behind addresses."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from comfyard.api.model_bundle import HttpSource
from comfyard.store.http.semantics import without_query
from comfyard.store.origin import Remote
from comfyard.store.stop import Stop


@dataclass(frozen=True)
class HttpOrigin:
    """One address.

    Attributes:
        key: See Origin.
        source: What the bundle says.
    """

    key: str
    source: HttpSource

    @contextmanager
    def locate(self, stop: Stop) -> Iterator[Remote]:
        """See Origin."""
        stop.check()
        yield Remote(self.source.url, without_query(self.source.url))
