"""git-lfs: files that git has only a pointer to.

https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md and docs/api/batch.md.
"""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MEDIA_TYPE = "application/vnd.git-lfs+json"
LARGEST_POINTER = 1024
"""Bytes: what is longer is no pointer, the specification says."""

_HeaderName = Annotated[str, Field(pattern=r"^[!-~]+$")]
_HeaderValue = Annotated[str, Field(pattern=r"^[ -~]*$")]
_VERSION = b"version https://git-lfs.github.com/spec/v1\n"
_OID = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
_SIZE = re.compile(rb"^size ([0-9]{1,18})$", re.MULTILINE)


@dataclass(frozen=True)
class Pointer:
    """What git-lfs keeps in git in place of a file."""

    sha256: str
    size: int


def parse(content: bytes) -> Pointer | None:
    """The pointer that a file in git is; None when it is a file itself."""
    if len(content) >= LARGEST_POINTER or not content.startswith(_VERSION):
        return None
    oid, size = _OID.search(content), _SIZE.search(content)
    return Pointer(oid[1].decode(), int(size[1])) if oid and size else None


class Action(BaseModel):
    """How to get a file."""

    model_config = ConfigDict(frozen=True)

    href: str
    header: dict[_HeaderName, _HeaderValue] = Field(default_factory=dict)


class Trouble(BaseModel):
    """Why a file is not to be had."""

    model_config = ConfigDict(frozen=True)

    code: int
    message: str = ""


class Found(BaseModel):
    """One object of an answer."""

    model_config = ConfigDict(frozen=True)

    actions: dict[str, Action] = Field(default_factory=dict)
    error: Trouble | None = None


class Answer(BaseModel):
    """What the batch API answers."""

    model_config = ConfigDict(frozen=True)

    objects: list[Found] = Field(min_length=1)


def batch_address(repository: str) -> str:
    """Where a repository's batch API is, unless it says otherwise."""
    base = repository.rstrip("/")
    return f"{base}{'' if base.endswith('.git') else '.git'}/info/lfs/objects/batch"


def batch_request(pointer: Pointer) -> dict[str, object]:
    """What to ask it for a file."""
    wanted = {"oid": pointer.sha256, "size": pointer.size}
    return {"operation": "download", "transfers": ["basic"], "hash_algo": "sha256", "objects": [wanted]}
