"""How large a file is, before it is fetched: what is needed in all shall be known before the volume is full."""

from http import HTTPStatus

from comfyard.store.http.semantics import part_of, range_headers, size_of
from comfyard.store.http.web import Web
from comfyard.store.origin import Local, Origin
from comfyard.store.stop import Stop


def measure(origin: Origin, web: Web, stop: Stop) -> int | None:
    """Bytes of a file; None when its source does not say.

    Args:
        origin: Where it is.
        web: How that is reached: asked for one byte, for some sources give no answer to HEAD.
        stop: Ends it from another thread.

    Raises:
        StoreError: It cannot be asked.
        StoppedError: It was asked to stop.
    """
    with origin.locate(stop) as place:
        if isinstance(place, Local):
            return place.file.stat().st_size
        if place.size is not None:
            return place.size
        with web.open(place, stop, range_headers(0, 1, "")) as answer:
            if answer.status == HTTPStatus.PARTIAL_CONTENT:
                part = part_of(answer.headers)
                return part.size if part else None
            return size_of(answer.headers) if answer.status == HTTPStatus.OK else None
