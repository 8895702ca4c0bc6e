"""Where things lie on the volume.

checkpoints/x.safetensors      what ComfyUI sees: hard links
.comfyard/sha256/<hex>         the same files by content; without hard links only those that no path has yet
.comfyard/sha256/<hex>.json    that and when the content was verified, and where
.comfyard/origins/<key>        which content a source without a digest gave
.comfyard/partial/             what is not finished
.comfyard/new/                 links and copies on their way
.comfyard/nodes/<commit>/      packages of custom nodes
.comfyard/nodes/<commit>.json  that they are whole
.comfyard/git/                 what is fetched of git repositories, while it is used
.comfyard/lock                 held by the one that writes
"""

from dataclasses import dataclass
from pathlib import Path

from comfyard.store.files import make_directory, volume_errors

OWN = ".comfyard"
"""Our directory. ComfyUI looks into its own folders only, so nothing in here is ever listed."""


@dataclass(frozen=True)
class Layout:
    """The directories of one store.

    Attributes:
        root: Where the volume is mounted.
    """

    root: Path

    @property
    def own(self) -> Path:
        """All that is not for ComfyUI."""
        return self.root / OWN

    @property
    def blobs(self) -> Path:
        """Verified files and their records."""
        return self.own / "sha256"

    @property
    def origins(self) -> Path:
        """What sources gave."""
        return self.own / "origins"

    @property
    def partial(self) -> Path:
        """Unfinished files and their journals."""
        return self.own / "partial"

    @property
    def new(self) -> Path:
        """Links and copies that will be renamed to their place."""
        return self.own / "new"

    @property
    def nodes(self) -> Path:
        """Packages of custom nodes by commit."""
        return self.own / "nodes"

    @property
    def git(self) -> Path:
        """Repositories that are being fetched."""
        return self.own / "git"

    @property
    def lock(self) -> Path:
        """The writer's lock."""
        return self.own / "lock"

    def prepare(self) -> None:
        """Make our directories. Raises StoreError."""
        with volume_errors(f"making {OWN}"):
            for directory in (self.own, self.blobs, self.origins, self.partial, self.new, self.nodes, self.git):
                make_directory(directory)
