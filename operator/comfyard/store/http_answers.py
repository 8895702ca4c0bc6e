"""What the answers of an HTTP server mean for a download. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from comfyard.store import errors

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_QUERY = re.compile(r"(https?://[^\s?#'\"]+)[?#][^\s'\"]*")
_BOUND = 300
_FILE = {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}
_MEANINGS: dict[int, tuple[type[errors.StoreError], str]] = {
    HTTPStatus.UNAUTHORIZED: (errors.UnauthorizedError, "wants a login; use an address that is open"),
    HTTPStatus.FORBIDDEN: (errors.ForbiddenError, "refuses the file; its owner has to allow it, or use another"),
    HTTPStatus.NOT_FOUND: (errors.NotFoundError, "is not there; correct source.http.url"),
    HTTPStatus.GONE: (errors.NotFoundError, "is not there any more; use another source"),
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: (errors.SourceChangedError, "is shorter than it was"),
    HTTPStatus.TOO_MANY_REQUESTS: (errors.RateLimitedError, "asks to wait"),
}


def without_query(text: str) -> str:
    """Text without the queries of addresses in it: they may be signatures, and messages end up in statuses and logs."""
    return _QUERY.sub(r"\1?…", text)[:_BOUND]


def parse_content_range(value: str) -> tuple[int, int, int] | None:
    """First byte, last byte and size of the whole; None when it does not say all three, or nonsense."""
    match = _CONTENT_RANGE.fullmatch(value.strip())
    if match is None:
        return None
    first, last, size = (int(group) for group in match.groups())
    return (first, last, size) if first <= last < size else None


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header, which gives seconds or a date; None when there is none, or nonsense."""
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def validator_of(headers: Mapping[str, str]) -> str:
    """What If-Range may carry: a strong ETag, else Last-Modified, else nothing (RFC 9110 13.1.5)."""
    etag = headers.get("etag", "")
    if etag.startswith('"'):
        return etag
    return headers.get("last-modified", "")


def range_headers(offset: int, validator: str) -> dict[str, str]:
    """Headers of a request. A compressed answer would have other offsets, so none is asked for."""
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    return headers


def error_of(status: int, shown: str, retry_after: float | None) -> errors.StoreError | None:
    """What a status says is wrong; None for 200 and 206.

    Args:
        status: The HTTP status.
        shown: The address as it may be shown.
        retry_after: Seconds from the answer's Retry-After.
    """
    if status in _FILE:
        return None
    if status in _MEANINGS:
        kind, said = _MEANINGS[status]
        return kind(f"{shown} {said} ({status})", retry_after)
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return errors.UnreachableError(f"{shown} answers {status}", retry_after)
    return errors.RefusedError(f"{shown} answers {status} where a file was expected; correct source.http.url")


def size_from_part(headers: Mapping[str, str], offset: int, validator: str, shown: str) -> int:
    """Size of the whole file from a 206, after checking that it continues what there is.

    Raises:
        SourceChangedError: It is a part of something else, or another part.
    """
    found = parse_content_range(headers.get("content-range", ""))
    if found is None or found[0] != offset or found[1] != found[2] - 1:
        raise errors.SourceChangedError(f"{shown} answers with another part than bytes {offset}-")
    now = validator_of(headers)
    if now and now != validator:
        raise errors.SourceChangedError(f"{shown} has changed ({validator} to {now})")
    return found[2]
