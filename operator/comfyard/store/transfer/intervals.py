"""Parts of a file as pairs of offsets, first byte and the byte after the last: ordered, disjoint, not empty. Pure."""

from collections.abc import Iterable, Iterator

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]


def are_sound(intervals: Intervals, size: int | None) -> bool:
    """Whether they are what this module makes, and end within the file."""
    bounds = [offset for interval in intervals for offset in interval]
    within = size is None or not bounds or bounds[-1] <= size
    return within and bounds == sorted(set(bounds)) and (not bounds or bounds[0] >= 0)


def with_added(intervals: Intervals, first: int, end: int) -> Intervals:
    """These, and all between the two offsets."""
    if first == end:
        return intervals
    before = tuple(interval for interval in intervals if interval[1] < first)
    after = tuple(interval for interval in intervals if interval[0] > end)
    touching = [interval for interval in intervals if interval[1] >= first and interval[0] <= end]
    merged = (min([first, *(one[0] for one in touching)]), max([end, *(one[1] for one in touching)]))
    return (*before, merged, *after)


def cut_at(intervals: Intervals, end: int) -> Intervals:
    """What of them lies before an offset."""
    return tuple((first, min(last, end)) for first, last in intervals if first < end)


def gaps(intervals: Intervals, first: int, end: int) -> Intervals:
    """What is missing between two offsets."""
    found: list[Interval] = []
    for start, stop in (*intervals, (end, end)):
        if first < min(start, end):
            found.append((first, min(start, end)))
        first = max(first, stop)
    return tuple(found)


def pieces(intervals: Iterable[Interval], most: int) -> Iterator[Interval]:
    """The same bytes, in pieces of at most so many."""
    for first, end in intervals:
        for start in range(first, end, most):
            yield start, min(start + most, end)


def total(intervals: Intervals) -> int:
    """How many bytes they are."""
    return sum(end - first for first, end in intervals)


def front(intervals: Intervals) -> int:
    """Bytes from the start of the file without a gap."""
    return intervals[0][1] if intervals and intervals[0][0] == 0 else 0
