"""Files of repositories on Hugging Face, or on a mirror of it.

huggingface_hub knows what a repository, a revision and a gate are. Its own downloader is not used, nor its cache, nor
any token that it would find by itself. It takes a second to import.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

import httpx2
from huggingface_hub import HfFileMetadata, constants, get_hf_file_metadata, hf_hub_url, set_client_factory
from huggingface_hub import errors as hub

from comfyard import __version__
from comfyard.api.model_bundle import HuggingFaceSource
from comfyard.store import errors
from comfyard.store.http.credentials import Credentials
from comfyard.store.http.semantics import error_of, parse_retry_after
from comfyard.store.http.web import Web
from comfyard.store.origin import Remote
from comfyard.store.stop import Stop

_SECONDS = 10.0
_SHA256 = re.compile(r"[0-9a-f]{64}")

_credentials: ContextVar[Credentials] = ContextVar("credentials")
"""Of the call that this thread makes."""


@dataclass(frozen=True)
class HuggingFaceOrigin:
    """One file of a repository.

    Attributes:
        key: See Origin.
        source: What the bundle says.
        web: Has the credentials.
    """

    key: str
    source: HuggingFaceSource
    web: Web

    @contextmanager
    def locate(self, stop: Stop) -> Iterator[Remote]:
        """See Origin. The address names the commit, so that all ranges are of one file."""
        stop.check()
        found = self._metadata()
        if found.commit_hash is None:
            raise errors.RefusedError(f"{self.source.endpoint} does not answer as a Hugging Face hub; correct endpoint")
        etag = found.etag or ""
        yield Remote(
            url=self._address(found.commit_hash),
            shown=self._shown,
            size=found.size,
            sha256=etag if _SHA256.fullmatch(etag) else None,  # of a small file it is git's SHA-1
        )

    @property
    def _shown(self) -> str:
        return f"{self.source.repo}/{self.source.file} at {self.source.endpoint}"

    def _address(self, revision: str) -> str:
        endpoint = self.source.endpoint.rstrip("/")
        try:
            return hf_hub_url(self.source.repo, self.source.file, revision=revision, endpoint=endpoint)
        except hub.HFValidationError as error:
            raise errors.NotFoundError(f"no repository can be called {self.source.repo}; correct repo") from error

    def _metadata(self) -> HfFileMetadata:
        address = self._address(self.source.revision)
        token = _credentials.set(self.web.credentials)
        try:
            headers = {"user-agent": f"comfyard/{__version__}"}
            return get_hf_file_metadata(address, token=False, timeout=_SECONDS, headers=headers)
        except hub.HfHubHTTPError as error:
            raise self._explain(error) from error
        except httpx2.HTTPError as error:
            raise errors.UnreachableError(f"{self._shown}: {type(error).__name__}: {error}") from error
        finally:
            _credentials.reset(token)

    def _explain(self, error: hub.HfHubHTTPError) -> errors.StoreError:
        status = error.response.status_code
        if isinstance(error, hub.RepositoryNotFoundError) or status == HTTPStatus.UNAUTHORIZED:
            return self._denied(error)
        if isinstance(error, hub.RevisionNotFoundError):
            return errors.NotFoundError(f"{self.source.repo} has no revision {self.source.revision}; correct revision")
        if isinstance(error, hub.RemoteEntryNotFoundError):
            return errors.NotFoundError(
                f"{self.source.repo} has no {self.source.file} at revision {self.source.revision}; correct file"
            )
        wait = parse_retry_after(error.response.headers.get("retry-after"), datetime.now(UTC))
        return error_of(status, self._shown, wait) or errors.RefusedError(f"{self._shown}: unexpected {status}")

    def _denied(self, error: hub.HfHubHTTPError) -> errors.StoreError:
        """The most special kind first: to the hub, a gated repository is one that is not found."""
        endpoint = self.source.endpoint.rstrip("/")
        host, page = httpx2.URL(endpoint).netloc.decode(), f"{endpoint}/{self.source.repo}"
        known = bool(self.web.credentials.headers_for(endpoint))
        token = f"name a Secret in spec.credentials with a token, whose annotation comfyard.io/hosts lists {host}"
        if isinstance(error, hub.GatedRepoError):
            then = "with the account of the token" if known else f"and {token}"
            return errors.LicenceRequiredError(f"{self.source.repo} is gated: agree to its terms at {page} {then}")
        if not isinstance(error, hub.RepositoryNotFoundError):
            return errors.UnauthorizedError(f"{host} does not accept the token; renew it in its Secret")
        if known:
            return errors.NotFoundError(f"{page} is not there, or hidden from the token; correct repo, or the token")
        return errors.UnauthorizedError(f"{page} is not there, or private; correct repo, or {token}")


def _client() -> httpx2.Client:
    return httpx2.Client(event_hooks={"request": [_authorize]})


def _authorize(request: httpx2.Request) -> None:
    """Decide anew for each hop: huggingface_hub would take a mirror's token along to huggingface.co."""
    request.headers.pop("Authorization", None)
    request.headers.update(_credentials.get().headers_for(str(request.url)))


set_client_factory(_client)  # the process has one client
constants.HF_HUB_DISABLE_TELEMETRY = True  # else it asks the hub for a list first, and keeps that in the home directory
