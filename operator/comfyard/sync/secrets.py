"""The Secrets that bundles name: what may be shown to sources, and what is wrong with them."""

import base64
import binascii
import logging
import time
from collections.abc import Iterable, Mapping

from comfyard.api.meta import ANNOTATION_HOSTS
from comfyard.api.model_bundle import CredentialSecret, ModelBundle
from comfyard.kube.errors import ApiError, ForbiddenError, NotFoundError
from comfyard.kube.kinds import SECRET, Obj
from comfyard.kube.protocol import KubeClient
from comfyard.store.http.credentials import Basic, Credential, Credentials, S3Keys, docker_credential
from comfyard.sync.told import Trouble

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 10.0
"""For a Secret that is not there, or that we may not read yet: both are often made just after the bundle."""

_AGAIN_SECONDS = 0.5

_S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a key
_LOGIN_KEYS = ("username", "password")
_DOCKER_KEY = ".dockerconfigjson"


def credential_of(secret: Obj, key: str | None) -> Credential:
    """What a Secret holds, and where it may go.

    Args:
        secret: The Secret.
        key: Which of its keys holds a token; None: by the names of its keys.

    Raises:
        ValueError: It is of no use; the message says why, and holds nothing of it.
    """
    annotation = (secret["metadata"].get("annotations") or {}).get(ANNOTATION_HOSTS, "")
    hosts = tuple(host.strip() for host in annotation.split(",") if host.strip())
    if not hosts:
        raise ValueError(f"may go to no host: its owner must annotate it with {ANNOTATION_HOSTS}")
    data = secret.get("data") or {}
    if key:
        return Credential(hosts, token=_text(data, key))
    if _has(data, _S3_KEYS):
        session = _text(data, _SESSION_TOKEN) if _SESSION_TOKEN in data else ""
        access_key, secret_key = (_text(data, name) for name in _S3_KEYS)
        return Credential(hosts, s3=S3Keys(access_key, secret_key, session))
    if _has(data, _LOGIN_KEYS):
        username, password = (_text(data, name) for name in _LOGIN_KEYS)
        return Credential(hosts, basic=Basic(username, password))
    if _DOCKER_KEY in data:
        return docker_credential(_text(data, _DOCKER_KEY), hosts)
    raise ValueError(
        f"has neither {' and '.join(_S3_KEYS)} nor {' and '.join(_LOGIN_KEYS)} nor {_DOCKER_KEY}; "
        "for a token, name its key in secretRef.key"
    )


def _has(data: Mapping[str, str], names: Iterable[str]) -> bool:
    return all(name in data for name in names)


def _text(data: Mapping[str, str], key: str) -> str:
    try:
        text = base64.b64decode(data[key], validate=True).decode().strip()
    except KeyError:
        raise ValueError(f"has no key {key}") from None
    except (TypeError, binascii.Error, UnicodeDecodeError):
        raise ValueError(f"has no text in its key {key}") from None
    if not text:
        raise ValueError(f"has nothing in its key {key}")
    return text


class Secrets:
    """The Secrets that the bundles of a claim name. All of them serve all of its files: a file is fetched once.

    Args:
        client: The API server.
        namespace: Of the bundles.
    """

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._found: dict[CredentialSecret, Credential | Trouble] = {}
        self._since: dict[CredentialSecret, float] = {}
        self._read_at = float("-inf")

    @property
    def credentials(self) -> Credentials:
        """What may be shown to sources."""
        return Credentials(self._usable())

    @property
    def passing(self) -> bool:
        """Whether one could not be read that may well be there in a moment."""
        return any(isinstance(found, Trouble) and found.passing for found in self._found.values())

    def trouble_of(self, bundle: ModelBundle) -> Trouble | None:
        """What is wrong with those that a bundle names."""
        found = (self._found.get(credential.secret_ref) for credential in bundle.spec.credentials)
        troubles = [each for each in found if isinstance(each, Trouble)]
        if not troubles:
            return None
        return Trouble("; ".join(each.message for each in troubles), any(each.passing for each in troubles))

    async def read(self, bundles: Iterable[ModelBundle], *, again: bool) -> bool:
        """Read those that are new or may be there by now; if so asked, those that were read before, too.

        Returns:
            Whether what may be shown to sources is something else now.
        """
        named = {credential.secret_ref: None for bundle in bundles for credential in bundle.spec.credentials}
        before = self._usable()
        self._since = {ref: self._since.get(ref, time.monotonic()) for ref in named}
        late = time.monotonic() - self._read_at >= _AGAIN_SECONDS
        if late:
            self._read_at = time.monotonic()
        found: dict[CredentialSecret, Credential | Trouble] = {}
        for ref in named:
            known = self._found.get(ref)
            fresh = known and not again and not (late and isinstance(known, Trouble) and known.passing)
            found[ref] = known if known and fresh else await self._read(ref)
        self._found = found
        return before != self._usable()

    def _usable(self) -> list[Credential]:
        return [found for found in self._found.values() if isinstance(found, Credential)]

    async def _read(self, ref: CredentialSecret) -> Credential | Trouble:
        name = f'Secret "{ref.name}" (spec.credentials)'
        waited = time.monotonic() - self._since[ref] >= _PATIENCE_SECONDS
        try:
            return credential_of(await self._client.get(SECRET, ref.name, self._namespace), ref.key)
        except ValueError as error:
            return Trouble(f"{name} {error}", passing=False)
        except NotFoundError:
            return Trouble(f"{name} does not exist; create it", passing=not waited)
        except ForbiddenError as error:
            return Trouble(f"{name} may not be read: {error}", passing=not waited)
        except ApiError as error:
            log.warning("cannot read %s: %s", name, error)
            return Trouble(f"{name} cannot be read: {error}", passing=True)
