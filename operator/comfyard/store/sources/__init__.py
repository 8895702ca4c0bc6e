"""Where files come from: one module for each kind of source.

Each says where the bytes are (`Origin.locate`); moving them is not its business.
"""

from pathlib import Path

from comfyard.store.errors import UnsupportedSourceError
from comfyard.store.http.web import Web
from comfyard.store.layout import Layout
from comfyard.store.origin import Origin
from comfyard.store.sources.civitai import CivitaiOrigin
from comfyard.store.sources.claim import ClaimOrigin, ExistingOrigin
from comfyard.store.sources.git import GitOrigin
from comfyard.store.sources.http import HttpOrigin
from comfyard.store.sources.oci import OciOrigin
from comfyard.store.sources.s3 import S3Origin
from comfyard.store.wants import Want


def origin_of(want: Want, web: Web, root: Path, sources_directory: Path, claim: str = "") -> Origin:
    """The origin of a file.

    Args:
        want: The file.
        web: For all requests.
        root: The store's volume.
        sources_directory: Where other claims are mounted, by name.
        claim: Name of the store's own claim.

    Raises:
        UnsupportedSourceError: A newer version of the API server's schema knows more kinds than we do.
    """
    key, source = want.source_key, want.source
    origin: Origin | None = None
    if source.http:
        origin = HttpOrigin(key, source.http)
    elif source.hugging_face:
        from comfyard.store.sources.hugging_face import HuggingFaceOrigin  # noqa: PLC0415 - takes a second

        origin = HuggingFaceOrigin(key, source.hugging_face, web)
    elif source.civitai:
        origin = CivitaiOrigin(key, source.civitai, web)
    elif source.s3:
        origin = S3Origin(key, source.s3, web)
    elif source.oci:
        origin = OciOrigin(key, source.oci, web)
    elif source.git:
        origin = GitOrigin(key, source.git, web, Layout(root).git)
    elif source.claim:
        mount = root if source.claim.name == claim else sources_directory / source.claim.name
        origin = ClaimOrigin(key, source.claim, mount)
    elif source.existing:
        origin = ExistingOrigin(key, want.path)
    if origin is None:
        raise UnsupportedSourceError("the source is of no kind that this version knows; name another, or upgrade")
    return origin
