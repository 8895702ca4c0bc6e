"""Why a model file is not there, as one small tree.

Each error has a `reason` for programs, a message that names cause and fix for people, and knows whether time alone can
heal it.
"""

from typing import ClassVar


class StoreError(Exception):
    """A file could not be had, verified or put in place.

    Attributes:
        reason: One word in CamelCase, as Kubernetes names reasons.
        permanent: Whether a person has to change something about the model; otherwise it is worth another try.
        retry_after: Seconds that the source asked to wait for, if it did.
    """

    reason: ClassVar[str] = "StoreError"
    permanent: ClassVar[bool] = False

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentError(StoreError):
    """Trying again gives the same."""

    permanent: ClassVar[bool] = True


class UnsupportedSourceError(PermanentError):
    """This version cannot fetch from such a source."""

    reason = "UnsupportedSource"


class NotFoundError(PermanentError):
    """The source says that there is no such file (404, 410)."""

    reason = "NotFound"


class UnauthorizedError(PermanentError):
    """The source wants to know who asks (401)."""

    reason = "Unauthorized"


class ForbiddenError(PermanentError):
    """The source does not give the file to us (403)."""

    reason = "Forbidden"


class LicenceRequiredError(PermanentError):
    """The source gives the file only to accounts that have agreed to something."""

    reason = "LicenceRequired"


class RefusedError(PermanentError):
    """The source gave an answer that is not a file."""

    reason = "Refused"


class DigestMismatchError(PermanentError):
    """The content is not what the bundle names."""

    reason = "DigestMismatch"

    def __init__(self, wanted: str, got: str) -> None:
        super().__init__(
            f"wanted sha256 {wanted}, got {got}: the source has other content now, or the digest is wrong; "
            "correct sha256 or the source"
        )
        self.wanted = wanted
        self.got = got


class NotASafetensorsError(PermanentError):
    """The name says safetensors, the content is something else."""

    reason = "NotASafetensors"


class PickleRefusedError(PermanentError):
    """The format can run code when it is loaded, and nobody vouches for the file or a scan found something."""

    reason = "PickleRefused"


class PathConflictError(PermanentError):
    """The path is taken by something that is not this file."""

    reason = "PathConflict"


class UnsafePathError(PermanentError):
    """The path leads out of the store."""

    reason = "UnsafePath"


class UnsupportedVolumeError(PermanentError):
    """The volume's file system lacks something that the store needs."""

    reason = "UnsupportedVolume"


class UnreachableError(StoreError):
    """No answer, an answer that broke off, or a server in trouble (5xx)."""

    reason = "Unreachable"


class RateLimitedError(StoreError):
    """The source asks for patience (429)."""

    reason = "RateLimited"


class SourceChangedError(StoreError):
    """The file became another one while it was being fetched; what there was of it is thrown away."""

    reason = "SourceChanged"


class InUseError(StoreError):
    """Jobs run with another content under this path; it is replaced when they have ended."""

    reason = "InUse"


class NoSpaceError(StoreError):
    """The volume is full, or its quota. A person must act, but on the claim: nobody would tell us when it is done.

    Attributes:
        needed: Bytes that have to be free for another try; None when nobody knows.
    """

    reason = "NoSpace"

    def __init__(self, message: str, needed: int | None = None) -> None:
        super().__init__(message)
        self.needed = needed


class VolumeError(StoreError):
    """The volume does not read or write."""

    reason = "VolumeError"


class StoppedError(Exception):
    """The caller asked to stop. Not a StoreError: nothing is wrong with the file."""
