"""Results that are made once for objects which never change after they were read."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

R = TypeVar("R")


class Memo(Generic[R]):
    """Results by the identity of what they were made from, the latest used ones kept.

    To compare a template's content with another by value would cost as much as most of what is made from it.

    Args:
        most: So many results are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[Sequence[object], R]] = OrderedDict()

    def get(self, parts: Sequence[object], make: Callable[[], R], values: Hashable = ()) -> R:
        """The result for exactly these objects, made if it is not known. What `make` raises is not kept.

        Args:
            parts: Compared by identity. They are held, so that no other object gets the identity of one of them.
            make: Makes the result.
            values: Compared by value.
        """
        key = (tuple(map(id, parts)), values)
        known = self._kept.get(key)
        if known is None:
            known = self._kept[key] = (parts, make())
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return known[1]
