"""Numbers of jobs as an Indexed Job writes them in its status: in order, runs of three and more with a dash."""

from collections.abc import Iterable, Iterator


def compress(indexes: Iterable[int]) -> str:
    """`"1,3-5,7"` for 1, 3, 4, 5 and 7; empty for none."""
    return ",".join(_word(first, last) for first, last in _runs(sorted(set(indexes))))


def expand(text: str) -> frozenset[int]:
    """The numbers that `compress` has written."""
    return frozenset(index for word in text.split(",") if word for index in _range(word))


def _range(word: str) -> range:
    first, _, last = word.partition("-")
    return range(int(first), int(last or first) + 1)


def _runs(indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of every unbroken run."""
    first = last = None
    for index in indexes:
        if first is None or last is None:
            first = last = index
        elif index == last + 1:
            last = index
        else:
            yield first, last
            first = last = index
    if first is not None and last is not None:
        yield first, last


def _word(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"
