"""What the threads of one download do: fetch parts, or all in one piece, or copy."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from comfyard.store.errors import SourceChangedError, StoreError, UnreachableError
from comfyard.store.http.answer import Answer
from comfyard.store.http.semantics import check_part, range_headers
from comfyard.store.stop import Stop
from comfyard.store.transfer import intervals
from comfyard.store.transfer.address import Address
from comfyard.store.transfer.journal import Journal, Writer
from comfyard.store.transfer.parts import Parts

_SHARES = 4


def smallest_part(most: int) -> int:
    """Bytes of the first request, when the size of the file is not known yet."""
    return most // _SHARES


def part_size(size: int, connections: int, most: int) -> int:
    """Bytes of one request: few enough that all connections have work to the end, enough that asking costs nothing."""
    return min(most, max(smallest_part(most), size // (_SHARES * connections)))


@dataclass(frozen=True)
class Ranges:
    """Fetches parts; `work` may be run by several threads at once.

    Attributes:
        address: Where from.
        journal: What is fetched: its version and size.
        opened: Answers that are there already, by the first byte of their part.
        parts: What is missing.
        stop: Ends it from another thread.
        batch: Bytes that are written at once, at most.
    """

    address: Address
    journal: Journal
    opened: dict[int, Answer]
    parts: Parts
    stop: Stop
    batch: int

    def work(self, writer: Writer) -> None:
        """Fetch parts until none is left.

        Raises:
            StoreError: The whole cannot go on; what was written stays.
            StoppedError: It was asked to stop.
            OSError: From the volume.
        """
        while part := self.parts.take():
            first, end = part
            try:
                self._fetch(first, end, writer)
            except StoreError as error:
                if error.permanent or isinstance(error, SourceChangedError):
                    raise
                rest = intervals.gaps(writer.written, first, end)
                self.parts.give_back(rest, error, progress=rest != (part,))
            else:
                rest = intervals.gaps(writer.written, first, end)
                self.parts.give_back(rest, None, progress=True) if rest else self.parts.finish()

    def _fetch(self, first: int, end: int, writer: Writer) -> None:
        with self._answer(first, end) as answer:
            shown = answer.where.shown
            if answer.status != HTTPStatus.PARTIAL_CONTENT:
                raise SourceChangedError(f"{shown} has changed: asked for a part, it begins from the start")
            part = check_part(answer.headers, first, self.journal.size, self.journal.validator, shown)
            receive(answer, writer, first, min(end, part.end), self.batch)

    @contextmanager
    def _answer(self, first: int, end: int) -> Iterator[Answer]:
        answer = self.opened.pop(first, None)
        if answer is None:
            headers = range_headers(first, end, self.journal.validator)
            with self.address.open(headers, self.stop) as asked:
                yield asked
            return
        try:
            yield answer
        finally:
            answer.close()  # now, not when the download ends: others wait for the connection


def receive(answer: Answer, writer: Writer, at: int, end: int | None, batch: int) -> None:
    """Write what comes.

    Args:
        answer: It.
        writer: Where to.
        at: Offset of its first byte in the file.
        end: Where it ends; None: where it does.
        batch: Bytes that are written at once, at most.

    Raises:
        UnreachableError: It broke off.
        StoppedError: It was asked to stop.
        OSError: From the volume.
    """
    buffer = memoryview(bytearray(batch))
    while end is None or at < end:
        count = answer.read_into(buffer if end is None else buffer[: end - at])
        if not count:
            break
        writer.write(buffer[:count], at)
        at += count
    if end is not None and at < end:
        raise UnreachableError(f"{answer.where.shown} broke off before byte {end}")


def copy(descriptor: int, shown: str, journal: Journal, writer: Writer, stop: Stop, batch: int) -> None:
    """Copy what is missing of a file of this machine.

    Args:
        descriptor: The file, open.
        shown: What messages call it.
        journal: What is there already.
        writer: Where to.
        stop: Ends it from another thread.
        batch: Bytes that are written at once.

    Raises:
        SourceChangedError: It is another file now than the journal says.
        StoppedError: It was asked to stop.
        OSError: From either volume.
    """
    buffer = memoryview(bytearray(batch))
    for first, end in intervals.pieces(intervals.gaps(journal.durable, 0, journal.size or 0), batch):
        stop.check()
        count = os.preadv(descriptor, [buffer[: end - first]], first)
        writer.write(buffer[:count], first)
        if count < end - first:
            break
    if version_of(descriptor) != journal.validator:
        raise SourceChangedError(f"{shown} was written to while it was copied")


def version_of(descriptor: int) -> str:
    """Names what an open file is now, as an ETag would."""
    found = os.fstat(descriptor)
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
