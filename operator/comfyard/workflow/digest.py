"""Digests of JSON content: the same for the same content, whatever the order of keys."""

import hashlib
import json


def digest(content: object) -> str:
    """`sha256:` and the digest of the canonical JSON form: sorted keys, no spaces, UTF-8."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
