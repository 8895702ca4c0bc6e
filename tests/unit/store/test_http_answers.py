from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfyard.store import errors
from comfyard.store.http.semantics import (
    Part,
    check_part,
    error_of,
    parse_content_range,
    parse_retry_after,
    part_of,
    range_headers,
    size_of,
    validator_of,
    without_query,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(1, 2**40))
def test_a_content_range_says_what_was_written(first: int, more: int, rest: int) -> None:
    last, size = first + more, first + more + rest
    assert parse_content_range(f"bytes {first}-{last}/{size}") == (first, last, size)


@given(st.text())
def test_no_content_range_makes_it_raise(text: str) -> None:
    found = parse_content_range(text)
    assert found is None or found[0] <= found[1] < found[2]


@pytest.mark.parametrize("text", ["", "bytes */10", "bytes 0-9/*", "bytes 5-3/10", "bytes 0-10/10", "items 0-1/2"])
def test_half_a_content_range_is_none(text: str) -> None:
    assert parse_content_range(text) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text())
def test_no_retry_after_makes_it_raise(text: str) -> None:
    parse_retry_after(text, NOW)


def test_only_what_if_range_may_carry_is_a_validator() -> None:
    assert validator_of({"etag": '"a"', "last-modified": "x"}) == '"a"'
    assert validator_of({"etag": 'W/"a"', "last-modified": "x"}) == "x"
    assert validator_of({"etag": 'W/"a"'}) == ""


def test_a_part_of_a_version_is_asked_for() -> None:
    assert range_headers(0, 8, "") == {"Range": "bytes=0-7"}
    assert range_headers(7, 9, '"a"') == {"Range": "bytes=7-8", "If-Range": '"a"'}
    assert range_headers(7, None, '"a"') == {"Range": "bytes=7-", "If-Range": '"a"'}


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ({"content-length": "7"}, 7),
        ({"content-length": "7", "transfer-encoding": "chunked"}, None),
        ({"content-length": "-7"}, None),
        ({"content-length": "7, 7"}, None),
        ({}, None),
    ],
)
def test_the_size_of_a_whole(headers: dict[str, str], size: int | None) -> None:
    assert size_of(headers) == size


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.RefusedError),
        (401, errors.UnauthorizedError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (410, errors.NotFoundError),
        (204, errors.RefusedError),
        (302, errors.RefusedError),
        (416, errors.SourceChangedError),
        (429, errors.RateLimitedError),
        (408, errors.UnreachableError),
        (500, errors.UnreachableError),
        (503, errors.UnreachableError),
    ],
)
def test_what_a_status_means(status: int, kind: type[errors.StoreError]) -> None:
    error = error_of(status, "http://h/x", 3.0)
    assert type(error) is kind
    assert error.permanent == (status < 400 or status in {400, 401, 403, 404, 410})
    assert str(status) in str(error)
    assert "http://h/x" in str(error)


@pytest.mark.parametrize("status", [429, 503])
def test_patience_is_passed_on(status: int) -> None:
    error = error_of(status, "", 3.0)
    assert error is not None
    assert error.retry_after == 3.0


def test_files_are_no_errors() -> None:
    assert error_of(200, "", None) is None
    assert error_of(206, "", None) is None


def test_a_login_says_what_to_do() -> None:
    asked = error_of(401, "http://h/x", None, "cdn.example")
    assert "name a Secret in spec.credentials whose annotation comfyard.io/hosts lists cdn.example" in str(asked)
    refused = error_of(401, "http://h/x", None, "cdn.example", sent=True)
    assert "does not accept the credential for cdn.example; renew it in its Secret" in str(refused)


GOOD = {"content-range": "bytes 5-9/20", "etag": '"a"'}


def test_a_part_must_continue_what_there_is() -> None:
    assert check_part(GOOD, 5, 20, '"a"', "x") == Part(5, 10, 20)
    assert check_part(GOOD, 5, None, "", "x") == Part(5, 10, 20)
    assert check_part({"content-range": "bytes 5-9/20"}, 5, 20, '"a"', "x") == Part(5, 10, 20)
    assert part_of(GOOD) == Part(5, 10, 20)
    assert part_of({}) is None


@pytest.mark.parametrize(
    ("headers", "first", "size", "validator"),
    [(GOOD, 4, 20, '"a"'), (GOOD, 5, 21, '"a"'), (GOOD, 5, 20, '"b"'), ({}, 5, 20, '"a"')],
)
def test_another_part_is_not_taken(headers: dict[str, str], first: int, size: int, validator: str) -> None:
    with pytest.raises(errors.SourceChangedError):
        check_part(headers, first, size, validator, "x")


def test_queries_are_not_shown() -> None:
    assert without_query("http://h/a?token=secret#x") == "http://h/a?…"
    assert without_query("bad location 'https://h/a?X-Amz-Signature=1' there") == "bad location 'https://h/a?…' there"
    assert without_query("http://h/a") == "http://h/a"


@given(st.text(alphabet="abc/?&=#%1", max_size=40))
def test_nothing_behind_a_question_mark_is_shown(tail: str) -> None:
    shown = without_query(f"http://h/x?SECRET{tail}")
    assert "SECRET" not in shown
