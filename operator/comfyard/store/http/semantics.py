"""What the answers of an HTTP server mean for a download. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
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
    HTTPStatus.FORBIDDEN: (errors.ForbiddenError, "refuses the file; its owner has to allow it, or use another"),
    HTTPStatus.NOT_FOUND: (errors.NotFoundError, "is not there; correct the source"),
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


def size_of(headers: Mapping[str, str]) -> int | None:
    """Bytes of a body that is all of a file; None when the answer does not say, or nonsense."""
    length = headers.get("content-length", "").strip()
    return int(length) if length.isascii() and length.isdigit() and "transfer-encoding" not in headers else None


def range_headers(first: int, end: int | None, validator: str) -> dict[str, str]:
    """Headers of a request for a part.

    Args:
        first: Its first byte.
        end: The byte after its last; None: to the end of the file.
        validator: Names the version that it must be of; empty: any.
    """
    last = "" if end is None else str(end - 1)
    return {"Range": f"bytes={first}-{last}"} | ({"If-Range": validator} if validator else {})


def error_of(
    status: int, shown: str, retry_after: float | None, host: str = "", *, sent: bool = False
) -> errors.StoreError | None:
    """What a status says is wrong; None for 200 and 206.

    Args:
        status: The HTTP status.
        shown: The address as it may be shown.
        retry_after: Seconds from the answer's Retry-After.
        host: Who answered; after redirects not the one of the address.
        sent: Whether it was shown a credential.
    """
    if status in _FILE:
        return None
    if status == HTTPStatus.UNAUTHORIZED:
        return errors.UnauthorizedError(f"{shown} {_login(host, sent=sent)} ({status})")
    if status in _MEANINGS:
        kind, said = _MEANINGS[status]
        return kind(f"{shown} {said} ({status})", retry_after)
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return errors.UnreachableError(f"{shown} answers {status}", retry_after)
    return errors.RefusedError(f"{shown} answers {status} where a file was expected; correct the source")


def _login(host: str, *, sent: bool) -> str:
    if sent:
        return f"does not accept the credential for {host}; renew it in its Secret"
    return f"wants a login; name a Secret in spec.credentials whose annotation comfyard.io/hosts lists {host}"


@dataclass(frozen=True)
class Part:
    """A 206.

    Attributes:
        first: Its first byte.
        end: The byte after its last.
        size: Bytes of the whole file.
    """

    first: int
    end: int
    size: int


def part_of(headers: Mapping[str, str]) -> Part | None:
    """Which part an answer with 206 is; None when it does not say."""
    found = parse_content_range(headers.get("content-range", ""))
    return Part(found[0], found[1] + 1, found[2]) if found else None


def check_part(headers: Mapping[str, str], first: int, size: int | None, validator: str, shown: str) -> Part:
    """The part that an answer with 206 is, if it fits to what there is.

    Args:
        headers: Of the answer.
        first: The byte that it must begin with.
        size: Of the whole file, if it is known.
        validator: Of the version that it must be of; empty: any.
        shown: The address as it may be shown.

    Raises:
        SourceChangedError: It is a part of something else, or another part.
    """
    part = part_of(headers)
    if part is None or part.first != first:
        raise errors.SourceChangedError(f"{shown} answers with another part than bytes {first}-")
    if size is not None and part.size != size:
        raise errors.SourceChangedError(f"{shown} has {part.size} bytes now, it had {size}")
    now = validator_of(headers)
    if now and validator and now != validator:
        raise errors.SourceChangedError(f"{shown} has changed ({validator} to {now})")
    return part
