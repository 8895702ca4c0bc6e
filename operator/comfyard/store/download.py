"""One attempt to fetch one file into its unfinished place, from where the last attempt ended."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from comfyard.store.errors import SourceChangedError, UnreachableError
from comfyard.store.files import volume_errors
from comfyard.store.hashing import TrailingHash
from comfyard.store.journal import Journal, Partial, Writer
from comfyard.store.origin import Body, Origin
from comfyard.store.space import Promise, Space
from comfyard.store.stop import Stop


@dataclass(frozen=True)
class Options:
    """How downloads go about it.

    Attributes:
        checkpoint_seconds: After how long what was written is made durable; a kill loses at most so much work.
        batch: Bytes that are written at once.
    """

    checkpoint_seconds: float = 2.0
    batch: int = 1024 * 1024


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
        size: Its bytes.
        resumed: Whether a part of it came from an earlier attempt.
    """

    sha256: str
    size: int
    resumed: bool


def download(
    origin: Origin, partial: Partial, space: Space, report: Report, stop: Stop, options: Options
) -> Downloaded:
    """Fetch what is missing.

    Args:
        origin: Where from.
        partial: Where to.
        space: The volume's.
        report: Called after each batch.
        stop: Ends it from another thread; what is there then is durable.
        options: See Options.

    Raises:
        StoreError: With the cause; what is there is kept for the next attempt unless the source has changed.
        StoppedError: It was asked to stop.
    """
    with volume_errors("writing an unfinished file"):
        before = partial.load(origin.key)
        if before and before.durable == before.size:
            return _hash_only(partial, before, stop)
        offset, validator = (before.durable, before.validator) if before else (0, "")
        try:
            with origin.open(offset, validator, stop) as body:
                journal = _journal_for(body, before, origin.key)
                return _receive(body, journal, partial, space, report, stop, options)
        except SourceChangedError:
            partial.discard()
            raise


def _journal_for(body: Body, before: Journal | None, source: str) -> Journal:
    """The journal to go on with: the old one if the body continues it, else a fresh one."""
    if body.start == 0 or before is None:
        return Journal(source=source, validator=body.validator, size=body.size, durable=0)
    if before.size is not None and before.size != body.size:
        raise SourceChangedError(f"the source has {body.size} bytes now, it had {before.size}")
    return before.model_copy(update={"size": body.size})


def _receive(
    body: Body, journal: Journal, partial: Partial, space: Space, report: Report, stop: Stop, options: Options
) -> Downloaded:
    start = journal.durable
    with (
        space.promise((body.size or start) - start) as promise,
        partial.writing(journal, options.checkpoint_seconds) as writer,
        TrailingHash(partial.data) as trail,
    ):
        trail.advance(start)
        for batch in _batches(body.chunks, options.batch):
            _write(batch, writer, promise, trail)
            report(Progress(writer.position, body.size, writer.position - start))
        if body.size is not None and writer.position != body.size:
            raise UnreachableError(f"the source broke off after {writer.position} of {body.size} bytes")
        writer.checkpoint()
        size = writer.position
        digest = trail.finish(lambda _: stop.check())
    return Downloaded(digest, size, resumed=start > 0)


def _write(batch: bytes, writer: Writer, promise: Promise, trail: TrailingHash) -> None:
    writer.append(batch)
    promise.written(len(batch))
    trail.advance(writer.position)


def _batches(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Chunks put together to at least that size; what there is when they break off comes out before the error."""
    waiting: list[bytes] = []
    length = 0
    try:
        for chunk in chunks:
            waiting.append(chunk)
            length += len(chunk)
            if length >= size:
                yield b"".join(waiting)
                waiting, length = [], 0
    except Exception:
        if waiting:
            yield b"".join(waiting)
        raise
    if waiting:
        yield b"".join(waiting)


def _hash_only(partial: Partial, journal: Journal, stop: Stop) -> Downloaded:
    """The last attempt ended between the last byte and the judgement."""
    with TrailingHash(partial.data) as trail:
        trail.advance(journal.durable)
        digest = trail.finish(lambda _: stop.check())
    return Downloaded(digest, journal.durable, resumed=True)
