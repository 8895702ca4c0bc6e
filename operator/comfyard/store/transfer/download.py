"""One attempt to fetch one file into its unfinished place: what the last attempt has left is not fetched again."""

import os
from contextlib import suppress
from http import HTTPStatus

from comfyard.store.errors import DigestMismatchError, RefusedError, SourceChangedError
from comfyard.store.files import volume_errors
from comfyard.store.http.answer import Answer
from comfyard.store.http.semantics import Part, check_part, part_of, range_headers, size_of, validator_of
from comfyard.store.http.web import Web
from comfyard.store.origin import Local, Origin
from comfyard.store.stop import Stop
from comfyard.store.transfer import intervals
from comfyard.store.transfer.address import Address
from comfyard.store.transfer.journal import Journal, Partial
from comfyard.store.transfer.parts import Parts
from comfyard.store.transfer.ranges import Ranges, copy, part_size, receive, smallest_part, version_of
from comfyard.store.transfer.receiving import Downloaded, Options, Progress, Receiver, Report
from comfyard.store.transfer.space import Space

__all__ = ["Downloaded", "Options", "Progress", "Report", "download"]


def download(  # noqa: PLR0913, PLR0917 - what it works on, each a thing of its own that its callers have
    origin: Origin,
    web: Web,
    partial: Partial,
    space: Space,
    report: Report,
    stop: Stop,
    options: Options,
    expected: str | None = None,
) -> Downloaded:
    """Fetch what is missing.

    Args:
        origin: Where from.
        web: How it is reached.
        partial: Where to.
        space: The volume's.
        report: Called now and then.
        stop: Ends it from another thread; what is there then is durable.
        options: See Options.
        expected: The SHA-256 that it must have; asked of the source first, if that knows its own.

    Raises:
        StoreError: With the cause; what is there is kept for the next attempt unless the source has changed.
        StoppedError: It was asked to stop.
    """
    with volume_errors("writing an unfinished file"):
        receiver = Receiver(partial, space, report, stop, options)
        attempt = _Attempt(origin.key, partial, receiver, stop, options)
        before = partial.load(origin.key)
        try:
            if before and before.is_whole:  # the last attempt ended between the last byte and the judgement
                return receiver.receive(before, lambda _: None, stop)
            with origin.locate(stop) as place:
                if isinstance(place, Local):
                    return attempt.copy(place, before)
                if expected and place.sha256 not in {None, expected}:
                    raise DigestMismatchError(expected, place.sha256 or "")
                with Address(origin, place, web, worked=before is not None) as address:
                    return attempt.fetch(address, before)
        except SourceChangedError:
            partial.discard()
            raise


class _Attempt:
    def __init__(self, key: str, partial: Partial, receiver: Receiver, stop: Stop, options: Options) -> None:
        self._key = key
        self._partial = partial
        self._receiver = receiver
        self._stop = stop
        self._options = options

    def fetch(self, address: Address, before: Journal | None) -> Downloaded:
        got = self._resumed(address, before) if before else None
        if got is None:
            self._partial.discard()
            got = self._fresh(address)
        return got

    def copy(self, place: Local, before: Journal | None) -> Downloaded:
        with place.file.open("rb", buffering=0) as file, self._stop.child() as stop:
            version = version_of(file.fileno())
            size = os.fstat(file.fileno()).st_size
            fits = before is not None and before.validator == version
            journal = before if before and fits else Journal(source=self._key, validator=version, size=size)
            batch = self._options.batch
            return self._receiver.receive(
                journal, lambda w: copy(file.fileno(), place.shown, journal, w, stop, batch), stop
            )

    def _resumed(self, address: Address, before: Journal) -> Downloaded | None:
        """What is missing; None when the source has another version now, or gives no parts any more."""
        said = address.located.sha256
        if before.sha256 != said:
            return None
        # Where the source itself names the content, that is the version: mirrors of it have their own ETags.
        validator = "" if said else before.validator
        first, end = self._first_gap(before)
        with self._stop.child() as stop, address.open(range_headers(first, end, validator), stop) as answer:
            if answer.status != HTTPStatus.PARTIAL_CONTENT:
                return None
            part = check_part(answer.headers, first, before.size, validator, answer.where.shown)
            now = validator_of(answer.headers) or before.validator
            journal = before.model_copy(update={"size": part.size, "validator": now})
            return self._by_parts(address, journal, answer, part, stop)

    def _first_gap(self, before: Journal) -> tuple[int, int | None]:
        if before.size is None:
            return intervals.front(before.durable), None
        first, end = intervals.gaps(before.durable, 0, before.size)[0]
        return first, min(end, first + part_size(before.size, self._options.connections, self._options.part))

    def _fresh(self, address: Address) -> Downloaded:
        """By parts if the source can. One that gives parts of different versions has several servers that disagree."""
        headers = range_headers(0, smallest_part(self._options.part), "")
        with suppress(SourceChangedError), self._stop.child() as stop, address.open(headers, stop) as answer:
            if answer.status == HTTPStatus.OK:
                return self._whole(address, answer, stop)
            part, validator = part_of(answer.headers), validator_of(answer.headers)
            if part and part.first == 0 and validator:
                journal = self._journal(address, validator, part.size)
                return self._by_parts(address, journal, answer, part, stop)
        self._partial.discard()
        with self._stop.child() as stop, address.open({}, stop) as answer:
            return self._whole(address, answer, stop)

    def _by_parts(self, address: Address, journal: Journal, answer: Answer, part: Part, stop: Stop) -> Downloaded:
        """The answer that is there is the first part; the others are asked for."""
        first, end = intervals.gaps(journal.durable, 0, part.size)[0]
        end = min(end, part.end)
        rest = intervals.gaps(intervals.with_added(journal.durable, first, end), 0, part.size)
        most = part_size(part.size, self._options.connections, self._options.part)
        parts = Parts([(first, end), *intervals.pieces(rest, most)])
        ranges = Ranges(address, journal, {first: answer}, parts, stop, self._options.batch)
        with stop.waking(parts.end):
            return self._receiver.receive(journal, ranges.work, stop, min(self._options.connections, len(parts)))

    def _whole(self, address: Address, answer: Answer, stop: Stop) -> Downloaded:
        """All of it, in one answer."""
        shown, batch = answer.where.shown, self._options.batch
        if answer.status != HTTPStatus.OK:
            raise RefusedError(f"{shown} answers with a part of the file where all of it was asked for; use another")
        size = size_of(answer.headers)
        journal = self._journal(address, validator_of(answer.headers), size)
        return self._receiver.receive(journal, lambda writer: receive(answer, writer, 0, size, batch), stop)

    def _journal(self, address: Address, validator: str, size: int | None) -> Journal:
        located = address.located
        if size is not None and located.size not in {None, size}:
            raise SourceChangedError(f"{located.shown} comes with {size} bytes, and should have {located.size}")
        return Journal(source=self._key, validator=validator, size=size, sha256=located.sha256)
