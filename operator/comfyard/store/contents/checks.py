"""Whether a file may go under a path: before it is fetched, when it was, and when it was there already."""

from pathlib import Path

from comfyard.store.contents import pickles
from comfyard.store.contents.safetensors import is_safetensors, read_file
from comfyard.store.errors import DigestMismatchError, NotASafetensorsError, PickleRefusedError, SourceChangedError
from comfyard.store.stop import Stop
from comfyard.store.transfer.download import Downloaded
from comfyard.store.transfer.journal import Partial
from comfyard.store.wants import Want


def admit(want: Want) -> None:
    """Refuse by the name alone, before anything is read or fetched. Raises PickleRefusedError."""
    if pickles.is_pickle(want.path):
        _refuse_unless_vouched(want)


def check(want: Want, file: Path, stop: Stop) -> None:
    """Refuse by the content.

    Args:
        want: What it would be.
        file: What there is.
        stop: Ends it from another thread.

    Raises:
        NotASafetensorsError: It is not built as its name says.
        PickleRefusedError: It can run code, and nobody vouches for it or the scan is not clean.
        StoppedError: It was asked to stop.
        OSError: It could not be read.
    """
    if is_safetensors(want.path):
        read_file(file)
    elif pickles.is_pickle(want.path) or pickles.holds_pickle(file):
        _refuse_unless_vouched(want)
        pickles.scan(file, want.path, stop)


def _refuse_unless_vouched(want: Want) -> None:
    pickles.refuse_unless_vouched(want.path, want.sha256, allowed=want.allow_pickle)


class Judge:
    """Decides on what was downloaded."""

    def __init__(self) -> None:
        self._suspects: dict[str, str] = {}

    def judge(self, want: Want, partial: Partial, got: Downloaded, stop: Stop) -> None:
        """Raise unless the file is what is wanted; what is wrong is removed.

        Args:
            want: What it would be.
            partial: Where it lies.
            got: What is known of it.
            stop: Ends it from another thread.

        Raises:
            DigestMismatchError: It has another content.
            SourceChangedError: Likewise, but it was put together from several answers, which may be why.
            StoreError: What `check` raises.
        """
        try:
            if want.sha256 and got.sha256 != want.sha256:
                raise self._mismatch(want.sha256, got)
            check(want, partial.data, stop)
        except (DigestMismatchError, SourceChangedError, NotASafetensorsError, PickleRefusedError):
            partial.discard()
            raise

    def _mismatch(self, wanted: str, got: Downloaded) -> DigestMismatchError | SourceChangedError:
        """A file put together from several answers is given one more chance: a server may have mixed two versions."""
        if got.resumed and self._suspects.get(wanted) != got.sha256:
            self._suspects[wanted] = got.sha256
            return SourceChangedError(f"the parts make sha256 {got.sha256}, wanted {wanted}; fetching all of it anew")
        return DigestMismatchError(wanted, got.sha256)
