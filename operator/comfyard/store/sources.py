"""From what a bundle says to something that can be opened."""

import httpx2

from comfyard.api.model_bundle import Source
from comfyard.store.errors import UnsupportedSourceError
from comfyard.store.http import HttpOrigin
from comfyard.store.origin import Origin


def origin_of(source: Source, client: httpx2.Client) -> Origin:
    """The origin of a source.

    Raises:
        UnsupportedSourceError: A newer version of the API server's schema knows more kinds than we do.
    """
    if source.http:
        return HttpOrigin(client, source.http.url)
    raise UnsupportedSourceError("the source is of no kind that this version knows; use source.http, or upgrade")
