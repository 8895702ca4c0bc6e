"""Takes away from a claim what must not, or need not, be on it any more."""

import logging
from collections.abc import Collection

from comfyard.store.errors import StoreError
from comfyard.store.nodes import NodeStore
from comfyard.store.store import Store
from comfyard.store.threads import in_thread
from comfyard.sync.wanted import Removal, Wanted

log = logging.getLogger(__name__)


class Tidy:
    """Remembers what was done, as long as it is asked for.

    Args:
        store: The claim's.
        nodes: Its custom nodes.
    """

    def __init__(self, store: Store, nodes: NodeStore) -> None:
        self._store = store
        self._nodes = nodes
        self._done: frozenset[Removal] = frozenset()
        self._swept: tuple[frozenset[str], frozenset[str]] | None = None

    @property
    def done(self) -> frozenset[Removal]:
        """Removals that were carried out."""
        return self._done

    async def clear(self, wanted: Wanted, contents: Collection[str]) -> tuple[list[Removal], bool]:
        """Remove what has to go, and unfinished files and custom nodes that nobody wants.

        None of it may be in work. Nothing is swept before it is known what all bundles want. A removal counts as
        carried out when its bytes are free too, unless another path has them: a bundle may vanish then.

        Args:
            wanted: What the claim must hold.
            contents: See `collect`.

        Returns:
            Files that were there and are gone now; and whether all was done that can be done.
        """
        self._done &= frozenset(wanted.removals)
        due = [removal for removal in wanted.removals if not removal.held and removal not in self._done]
        gone: list[Removal] = []
        removed: set[Removal] = set()
        for removal in due:
            try:
                if await self._remove(removal):
                    gone.append(removal)
                removed.add(removal)
            except StoreError as error:
                log.warning("%s cannot be removed: %s", removal.path, error)
        if removed and await self.collect(wanted, contents):
            self._done |= removed
        return gone, await self._sweep(wanted) and self._done.issuperset(due)

    async def _remove(self, removal: Removal) -> bool:
        was_there = await in_thread(lambda _: self._store.remove(removal.path, removal.sha256))
        if was_there:
            log.info("%s is removed: no bundle wants it", removal.path)
        return was_there

    async def _sweep(self, wanted: Wanted) -> bool:
        keys = frozenset(want.content_key for want in wanted.wants), wanted.node_commits
        if wanted.held or keys == self._swept:
            return True
        try:
            await in_thread(lambda _: self._store.sweep(keys[0]))
            await in_thread(lambda _: self._nodes.sweep(keys[1]))
        except StoreError as error:
            log.warning("%s", error)
            return False
        self._swept = keys
        return True

    async def collect(self, wanted: Wanted, contents: Collection[str]) -> bool:
        """Remove contents that have no path any more.

        Args:
            wanted: What the claim must hold.
            contents: SHA-256 of files that are in place or on their way, besides those that bundles name.

        Returns:
            Whether that was done; not while nobody knows what a bundle needs.
        """
        if wanted.held:
            return False
        named = {want.sha256 for want in wanted.wants if want.sha256} | set(contents)
        sources = {want.source_key for want in wanted.wants}
        try:
            freed = await in_thread(lambda _: self._store.collect(named, sources))
        except StoreError as error:
            log.warning("%s", error)
            return False
        if freed:
            log.info("%d bytes are free again that nobody wants any more", freed)
        return True
