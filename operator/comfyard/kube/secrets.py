"""Keys for S3 in Secrets: what a Secret holds, and to which hosts its owner lets it go. Pure."""

import base64
import binascii
from urllib.parse import urlsplit

from comfyard.api.meta import ANNOTATION_HOSTS
from comfyard.kube.kinds import Obj, name_of

_ACCESS_KEY = "AWS_ACCESS_KEY_ID"
_SECRET_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a key


class SecretError(Exception):
    """A Secret is of no use for what it was named for. The message has the cause and the fix, and nothing of it."""


def s3_keys(secret: Obj, endpoint: str) -> tuple[str, str]:
    """Access key and secret key for an endpoint.

    Raises:
        SecretError: The Secret may not go there, or has no such keys.
    """
    refusal = refuse_host(secret, endpoint)
    if refusal:
        raise SecretError(refusal)
    return _key(secret, _ACCESS_KEY), _key(secret, _SECRET_KEY)


def refuse_host(secret: Obj, endpoint: str) -> str:
    """Why a Secret may not go to an endpoint; empty when it may. Its owner says so, not who names it in a job."""
    parts = urlsplit(endpoint)
    annotation = (secret["metadata"].get("annotations") or {}).get(ANNOTATION_HOSTS, "")
    allowed = {host.strip().lower() for host in annotation.split(",")} - {""}
    if allowed & {parts.netloc.lower(), (parts.hostname or "").lower()}:
        return ""
    there = ", ".join(sorted(allowed)) or "no host"
    return (
        f'Secret "{name_of(secret)}" may not be sent to {parts.netloc}: its annotation {ANNOTATION_HOSTS} '
        f"lists {there}; its owner can add it"
    )


def _key(secret: Obj, key: str) -> str:
    try:
        return base64.b64decode(secret["data"][key], validate=True).decode().strip()
    except (KeyError, TypeError, binascii.Error, UnicodeDecodeError) as error:
        raise SecretError(f'Secret "{name_of(secret)}" has no usable key {key}; add it') from error
