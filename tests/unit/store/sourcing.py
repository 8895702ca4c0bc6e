"""What tests of sources share: wants, credentials, and reading what an origin has located."""

from pathlib import Path
from typing import Any

from comfyard.api.model_bundle import Source
from comfyard.store.http.credentials import Basic, Credential, Credentials
from comfyard.store.http.web import Web
from comfyard.store.origin import Local, Origin, Remote
from comfyard.store.stop import Stop
from comfyard.store.wants import Want

TOKEN = "token-of-a-test"  # noqa: S105
PATH = "checkpoints/model.safetensors"


def want(kind: str, /, *, at: str = PATH, sha256: str | None = None, **fields: Any) -> Want:
    """A file from a source, given as it stands in a bundle."""
    return Want(at, Source.model_validate({kind: fields}), sha256)


def with_token(*hosts: str, token: str = TOKEN) -> Credentials:
    """A token for some hosts."""
    return Credentials([Credential(hosts, token=token)])


def with_password(username: str, password: str, *hosts: str) -> Credentials:
    """A user and a password for some hosts."""
    return Credentials([Credential(hosts, basic=Basic(username, password))])


def content_of(origin: Origin, web: Web) -> bytes:
    """The bytes of what an origin has."""
    stop = Stop()
    with origin.locate(stop) as found:
        return found.file.read_bytes() if isinstance(found, Local) else _read(found, web, stop)


def located(origin: Origin) -> Remote:
    """Where an origin says that the bytes are."""
    with origin.locate(Stop()) as found:
        assert isinstance(found, Remote)
        return found


def _read(remote: Remote, web: Web, stop: Stop) -> bytes:
    content = bytearray()
    with web.open(remote, stop) as answer:
        error = answer.error()
        if error:
            raise error
        while piece := answer.read(1 << 20):
            content += piece
    return bytes(content)


NOWHERE = Path("/nonexistent")
