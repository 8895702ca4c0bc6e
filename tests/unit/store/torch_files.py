"""Files as torch.save makes them, and such as somebody makes who wants code to run."""

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

MAGIC = 0x1950A86A20F9469CFC6C
"""How torch's files began before they were archives."""


class Calls:
    """Calls something when it is loaded."""

    def __init__(self, what: Callable[..., object], *arguments: object) -> None:
        self._what = what
        self._arguments = arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:  # type: ignore[explicit-override] # 3.12
        return self._what, self._arguments


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def weights(tensors: int = 3) -> bytes:
    """What torch.save writes of a state dict: tensors that are rebuilt from numbered storages."""
    each = (
        text(f"layer.{number}.weight")
        + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + text("storage")
        + b"ctorch\nHalfStorage\n"
        + text(str(number))
        + text("cpu")
        + b"K\x04tQK\x00K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtR"
        for number in range(tensors)
    )
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + b"".join(each) + b"u."


def archive(file: Path, members: dict[str, bytes], *, packed: bool = False) -> Path:
    """What torch.save writes today."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return file


def legacy(payload: bytes) -> bytes:
    """What torch.save wrote before 1.6: five pickles and the bare numbers."""
    head = b"".join(pickle.dumps(part, 2) for part in (MAGIC, 1001, {"little_endian": True}))
    return head + payload + pickle.dumps(["0"], 2) + bytes(range(256))


def clean_members() -> dict[str, bytes]:
    return {
        "archive/data.pkl": weights(),
        "archive/byteorder": b"little",
        "archive/data/0": bytes(8),
        "archive/data/1": b"\x80\x02\xff\xff are numbers, though they begin as a pickle does",
        "archive/version": b"3\n",
    }
