"""Formats that can run code when they are loaded: who may have them, and what a scan finds in one.

The scan is that of `picklescan --strict`, which takes what it does not know for dangerous. It runs in a process of its
own with bounds, because it keeps every instruction of a pickle and a small file may unfold to many.
"""

import json
import logging
import re
import resource
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from picklescan.scanner import SafetyLevel, ScanResult, scan_pickle_bytes, scan_pytorch  # type: ignore[import-untyped]

from comfyard.store.errors import PickleRefusedError
from comfyard.store.stop import Stop

SUFFIXES = (".ckpt", ".pt", ".pt2", ".bin", ".pth", ".pkl", ".pickle")
"""What ComfyUI gives to torch.load, and the two names that pickles go by elsewhere."""

_MEMORY = 320 * 1024 * 1024
_CPU_SECONDS = 300
_SHOWN = 5

_ZIP = b"PK\x03\x04"
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PROTOCOLS = tuple(bytes((0x80, number)) for number in range(6))

_RAW_TENSOR = re.compile(r"WARNING: could not parse file:[^:]*/data/\d+ as pickle: ")
"""Numbers may begin as a pickle does, by chance; nothing unpickles them."""


def is_pickle(path: str) -> bool:
    """Whether the name promises a format that can run code."""
    return path.lower().endswith(SUFFIXES)


def holds_pickle(file: Path) -> bool:
    """Whether the content is a pickle or an archive of torch, whatever its name says. Raises OSError."""
    with file.open("rb") as opened:
        start = opened.read(len(_ZIP))
    if start != _ZIP:
        return start.startswith(_PROTOCOLS)
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.lower().endswith(".pkl") for name in archive.namelist())
    except zipfile.BadZipFile:  # torch has a reader of its own, which may think otherwise
        return True


def refuse_unless_vouched(path: str, sha256: str | None, *, allowed: bool) -> None:
    """Refuse a file that can run code, unless somebody has named exactly which one may.

    Args:
        path: The model's path, for the message.
        sha256: What it must be, if that is said.
        allowed: Whether such formats were allowed for it.

    Raises:
        PickleRefusedError: Not both were said.
    """
    if not (allowed and sha256):
        raise PickleRefusedError(
            f"{path} is of a format that can run code when it is loaded; use the safetensors version of the model, "
            "or set allowPickle and the sha256 of a file that you trust"
        )


def scan(file: Path, path: str, stop: Stop) -> None:
    """Scan a file.

    Args:
        file: Where it lies.
        path: The model's path, for messages.
        stop: Ends it from another thread.

    Raises:
        PickleRefusedError: With what was found, or why it could not be looked at.
        StoppedError: It was asked to stop.
        OSError: The scan could not be started.
    """
    command = [sys.executable, "-P", "-m", __name__, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - ours
        try:
            with stop.waking(process.kill):
                said = process.communicate()[0]
        finally:
            process.kill()
    stop.check()
    try:
        found: dict[str, list[str]] = json.loads(said)
    except ValueError:
        found = {"troubles": [f"the scan needed more than {_MEMORY >> 20} MiB or {_CPU_SECONDS} s"]}
    if names := found.get("globals"):
        raise _refused(path, f"it would use {_listed(names)}")
    if troubles := found["troubles"]:
        raise _refused(path, f"it cannot be scanned to its end: {_listed(troubles)}")


def _refused(path: str, why: str) -> PickleRefusedError:
    return PickleRefusedError(
        f"picklescan --strict refuses {path}: {why}; use the safetensors version of the model, or convert it where "
        "it can do no harm"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


class _Troubles:
    """A filter of picklescan's log that keeps what tells of parts it could not read: it only logs that."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self.found: list[str] = []

    def __call__(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        broken = self._quiet and said.startswith("Error parsing pickle")
        loud = record.levelno >= logging.WARNING and not said.endswith(("FOUND", "(promoted by --strict)"))
        if broken or (loud and not _RAW_TENSOR.match(said)):
            self.found.append(said)
        return False


def examine(file: Path) -> dict[str, list[str]]:
    """What a scan says: `globals` that are not known to be harmless, and `troubles` in reading. Raises nothing."""
    with file.open("rb") as opened:
        start = opened.read(len(_LEGACY_TORCH))
        opened.seek(0)
        log = logging.getLogger("picklescan")
        log.setLevel(logging.DEBUG)
        troubles = _Troubles(quiet=start == _LEGACY_TORCH)
        log.addFilter(troubles)
        try:
            result = _scan_as_torch_reads(opened, start)
            bad = [found for found in result.globals if found.safety is not SafetyLevel.Innocuous]
            names = {_shown(f"{found.module}.{found.name}") for found in bad}
            if result.scan_err or not result.scanned_files:
                troubles.found.append("no whole pickle is in it")
        except Exception as error:  # noqa: BLE001 - whatever it cannot read, it has not scanned
            names = set()
            troubles.found.append(f"{type(error).__name__} {error}")
        finally:
            log.removeFilter(troubles)
    return {"globals": sorted(names), "troubles": [_shown(said) for said in troubles.found]}


def _scan_as_torch_reads(opened: BinaryIO, start: bytes) -> ScanResult:
    """By the first bytes, as torch.load chooses: picklescan takes what has an archive at its end for an archive."""
    if start.startswith(_ZIP):
        _refuse_ambiguous_names(zipfile.ZipFile(opened).namelist())
        opened.seek(0)
        return scan_pytorch(opened, "file", strict=True)
    if start == _LEGACY_TORCH:
        return scan_pytorch(opened, "file", strict=True)
    return scan_pickle_bytes(opened, "file", strict=True)


def _refuse_ambiguous_names(names: Sequence[str]) -> None:
    """Torch finds members without regard to case, and the first of two; a scan might look at the other one."""
    if len({name.lower() for name in names}) != len(names):
        raise ValueError("two members of the archive have one name")
    if any(name.lower().endswith(".pkl") and not name.endswith(".pkl") for name in names):
        raise ValueError("a pickle in the archive is not named .pkl")


def _shown(text: str) -> str:
    """Safe to print, and bounded."""
    return "".join(character if character.isprintable() else "?" for character in text)[:100]


def main() -> None:
    """Scan the file that the argument names; the verdict goes to the standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    sys.stdout.write(json.dumps(examine(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
