"""Having a file written by one or more threads: made durable, hashed and watched while it grows."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from comfyard.store.errors import DigestMismatchError, SourceChangedError, StoreError
from comfyard.store.stop import Stop
from comfyard.store.transfer import intervals
from comfyard.store.transfer.hashing import Digests, TrailingHash
from comfyard.store.transfer.journal import Journal, Partial, Writer
from comfyard.store.transfer.space import Space

_LOOK_SECONDS = 0.05
_AT_FIRST = 4
_FAST = 100_000_000
"""Bytes per second of each connection from which on more of them bring nothing but work for the processor."""


@dataclass(frozen=True)
class Options:
    """How downloads go about it.

    Attributes:
        checkpoint_seconds: After how long what was written is made durable; a kill loses at most so much work. 0: at
            each write.
        batch: Bytes that one connection takes at once, at most; how they are written is the journal's business.
        connections: How many parts of a file are fetched at once, at most; a fast source needs fewer.
        part: Bytes of the largest part; small files are cut into smaller ones, down to a quarter.
        hashed: Whether to hash. Without it the digests are empty, for measurements.
    """

    checkpoint_seconds: float = 2.0
    batch: int = 2 * 1024 * 1024
    connections: int = 8
    part: int = 64 * 1024 * 1024
    hashed: bool = True


@dataclass(frozen=True)
class Progress:
    """How far a file is.

    Attributes:
        bytes: Of the file, on the volume.
        size: Of the whole file, if known.
        received: From the source in this attempt; what was there before does not count.
    """

    bytes: int
    size: int | None
    received: int


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Downloaded:
    """A file that is whole, on the disk and hashed, but not yet judged.

    Attributes:
        sha256: Its digest.
        blake3: Its other digest.
        size: Its bytes.
        resumed: Whether a part of it came from an earlier attempt.
    """

    sha256: str
    blake3: str
    size: int
    resumed: bool


class Receiver:
    """Takes one file in.

    Args:
        partial: Where to.
        space: The volume's.
        report: Called now and then.
        stop: Ends it from another thread.
        options: See Options.
    """

    def __init__(self, partial: Partial, space: Space, report: Report, stop: Stop, options: Options) -> None:
        self._partial = partial
        self._space = space
        self._report = report
        self._stop = stop
        self._options = options

    def receive(self, journal: Journal, work: Callable[[Writer], None], stop: Stop, threads: int = 1) -> Downloaded:
        """Have it all written, made durable and hashed.

        Args:
            journal: What is there.
            work: What each thread does.
            stop: Ends the threads.
            threads: How many.
        """
        with (
            self._space.promise(_missing(journal, self._partial)) as promise,
            self._partial.writing(journal, self._options.checkpoint_seconds, promise) as writer,
            TrailingHash(self._partial.data) as trail,
        ):
            self._run(work, writer, trail, stop, threads)
            size = writer.finish()
            digests = Digests("", "")
            if self._options.hashed:
                trail.advance(size)
                digests = trail.finish(lambda _: self._stop.check())
        if journal.sha256 and digests.sha256 not in {"", journal.sha256}:
            self._partial.discard()
            raise _mismatch(journal, digests)
        return Downloaded(digests.sha256, digests.blake3, size, resumed=bool(journal.durable))

    def _run(
        self, work: Callable[[Writer], None], writer: Writer, trail: TrailingHash, stop: Stop, threads: int
    ) -> None:
        try:
            with ThreadPoolExecutor(threads, "fetch") as pool:
                running = {pool.submit(work, writer) for _ in range(min(threads, _AT_FIRST))}
                begun, began = len(running), time.monotonic()
                try:
                    writer.take_room()  # beside the first bytes: memory, for one, takes its time
                    while running:
                        ended, running = wait(running, _LOOK_SECONDS, FIRST_EXCEPTION)
                        for future in ended:
                            future.result()
                        self._look(writer, trail)
                        each = writer.received / (time.monotonic() - began) / begun
                        if not ended and begun < threads and each < _FAST:
                            running.add(pool.submit(work, writer))
                            begun += 1
                except BaseException:
                    stop.ask()
                    raise
        finally:
            self._tell(writer)  # also of what came before it broke off

    def _look(self, writer: Writer, trail: TrailingHash) -> None:
        writer.checkpoint_if_due()
        if self._options.hashed:
            trail.advance(intervals.front(writer.written))
        self._tell(writer)

    def _tell(self, writer: Writer) -> None:
        self._report(Progress(intervals.total(writer.written), writer.size, writer.received))


def _missing(journal: Journal, partial: Partial) -> int:
    """Bytes that the volume still has to give."""
    size = journal.size or 0
    return max(0, min(size - intervals.total(journal.durable), size - partial.allocated()))


def _mismatch(journal: Journal, got: Digests) -> StoreError:
    """The source names one content and gives another. If not all of it came now, the earlier part may be why."""
    if journal.durable:
        return SourceChangedError(f"the parts make sha256 {got.sha256}, the source says {journal.sha256}")
    return DigestMismatchError(journal.sha256 or "", got.sha256)
