"""What is wanted of the store. Pure."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from comfyard.api.model_bundle import Source
from comfyard.store.contents.kinds import Weights


@dataclass(frozen=True)
class Want:
    """One file under one path.

    Attributes:
        path: Folder and file, as ComfyUI sees them.
        source: Where it comes from.
        sha256: What it must be; None: whatever the source gives first.
        allow_pickle: Whether its format may be one that can run code.
    """

    path: str
    source: Source
    sha256: str | None
    allow_pickle: bool = False

    @property
    def source_key(self) -> str:
        """Tells this source from all others, also before anything was fetched from it."""
        where = self.path if self.source.existing else ""
        return hashlib.sha256((self.source.model_dump_json(exclude_none=True) + where).encode()).hexdigest()

    @property
    def content_key(self) -> str:
        """The same for wants that one download satisfies: a file name without an extension that means anything."""
        return f"sha256-{self.sha256}" if self.sha256 else f"source-{self.source_key}"


@dataclass(frozen=True)
class Stored:
    """A file that is in place.

    Attributes:
        sha256: Its content.
        size: Its bytes.
        verified: When its content was read and found right.
        weights: What its header tells.
    """

    sha256: str
    size: int
    verified: datetime
    weights: Weights
