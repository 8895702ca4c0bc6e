"""Removing what nobody needs: what a crash left, unfinished files, contents without a path."""

import shutil
from collections.abc import Collection

from comfyard.store.contents.copied import Copied
from comfyard.store.contents.linked import Linked
from comfyard.store.contents.origins import Origins
from comfyard.store.files import make_directory
from comfyard.store.layout import Layout
from comfyard.store.transfer.journal import DATA_SUFFIX, JOURNAL_SUFFIX


def clear(layout: Layout) -> None:
    """Remove what a crash left on its way to somewhere. Raises OSError."""
    for entry in layout.new.iterdir():
        entry.unlink(missing_ok=True)
    for directory in (layout.blobs, layout.origins):
        for entry in directory.glob("*.new"):
            entry.unlink()
    shutil.rmtree(layout.git)
    make_directory(layout.git)


def sweep(layout: Layout, wanted: Collection[str]) -> None:
    """Remove unfinished files but those of wanted contents, by their keys. Raises OSError."""
    for entry in layout.partial.iterdir():
        key = entry.name.partition(".")[0]
        if key not in wanted or not entry.name.endswith((DATA_SUFFIX, JOURNAL_SUFFIX)):
            entry.unlink(missing_ok=True)


def collect(contents: Linked | Copied, origins: Origins, wanted: Collection[str], sources: Collection[str]) -> int:
    """Remove contents that no path has and nobody wants, and what is remembered of sources that gave them.

    Args:
        contents: Of the volume.
        origins: Of the same.
        wanted: SHA-256 of wanted contents.
        sources: Keys of wanted sources; what they gave is wanted too.

    Returns:
        Bytes of what was removed.

    Raises:
        OSError: It could not be removed.
    """
    given = origins.known()
    keep = {*wanted, *(given.get(source) for source in sources)}
    freed = 0
    for sha256, size in list(contents.loose()):
        if sha256 not in keep:
            contents.blobs.discard(sha256)
            freed += size
    there = set(contents.blobs.known())
    for source in given.keys() - set(sources):
        if given[source] not in there:
            origins.forget(source)
    return freed
