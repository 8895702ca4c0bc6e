"""Formats that can run code: who may have them, and what a scan finds in them."""

import functools
import os
import pickle
import threading
import zipfile
from pathlib import Path

import pytest

from comfyard.store.contents.pickles import SUFFIXES, holds_pickle, is_pickle, refuse_unless_vouched, scan
from comfyard.store.errors import PickleRefusedError, StoppedError
from comfyard.store.stop import Stop
from tests.unit.store.torch_files import Calls, archive, clean_members, legacy, weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "content"


def refusal(file: Path) -> str:
    with pytest.raises(PickleRefusedError) as caught:
        scan(file, "checkpoints/x.ckpt", Stop())
    assert "checkpoints/x.ckpt" in str(caught.value)
    assert "safetensors" in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def test_names() -> None:
    assert all(is_pickle(f"checkpoints/x{suffix.upper()}") for suffix in SUFFIXES)
    harmless = ("safetensors", "sft", "gguf", "onnx", "json", "yaml", "txt", "npz", "bin.txt")
    assert not any(is_pickle(f"checkpoints/x.{suffix}") for suffix in harmless)


@pytest.mark.parametrize(("sha256", "allowed"), [(None, False), (None, True), ("0" * 64, False)])
def test_both_must_be_said(sha256: str | None, *, allowed: bool) -> None:
    with pytest.raises(PickleRefusedError, match="set allowPickle and the sha256"):
        refuse_unless_vouched("loras/x.pt", sha256, allowed=allowed)
    refuse_unless_vouched("loras/x.pt", "0" * 64, allowed=True)


def test_contents_are_known_whatever_their_name(file: Path) -> None:
    for content in (weights(), legacy(weights()), pickle.dumps([1], 4)):
        file.write_bytes(content)
        assert holds_pickle(file)
    assert holds_pickle(archive(file, clean_members()))
    file.write_bytes(b"PK\x03\x04 and no more")
    assert holds_pickle(file)
    assert not holds_pickle(archive(file, {"mean.npy": b"\x93NUMPY"}))
    for content in (b"", b"GGUF\x03\0\0\0", b"\x08\x07\x12\x07pytorch", b'{"a": 1}', b"a: 1\n", b"<!DOCTYPE html>"):
        file.write_bytes(content)
        assert not holds_pickle(file)


def test_weights_are_clean(file: Path) -> None:
    scan(archive(file, clean_members()), "checkpoints/x.ckpt", Stop())
    scan(archive(file, clean_members(), packed=True), "checkpoints/x.ckpt", Stop())
    file.write_bytes(legacy(weights()))
    scan(file, "checkpoints/x.ckpt", Stop())
    file.write_bytes(pickle.dumps({"mean": [0.5, 0.5]}, 4))
    scan(file, "checkpoints/x.pkl", Stop())


@pytest.mark.parametrize(
    ("what", "found"),
    [
        (Calls(os.system, "true"), "posix.system"),
        (Calls(eval, "1"), "builtins.eval"),
        # Only suspicious without --strict: nobody has said that it does harm, nobody that it does none.
        (Calls(functools.partial, len), "functools.partial"),
    ],
)
@pytest.mark.parametrize("form", ["archive", "legacy", "bare"])
def test_what_it_would_use_is_named(file: Path, what: Calls, found: str, form: str) -> None:
    payload = pickle.dumps(what, 4)
    if form == "archive":
        archive(file, {**clean_members(), "archive/data.pkl": payload})
    else:
        file.write_bytes(legacy(payload) if form == "legacy" else payload)
    said = refusal(file)
    assert "it would use" in said
    assert found in said


def test_a_wrong_check_sum_hides_nothing(file: Path) -> None:
    """Torch does not look at it."""
    archive(file, {**clean_members(), "archive/data.pkl": pickle.dumps(Calls(os.system, "true"), 4)})
    content = bytearray(file.read_bytes())
    at = content.index(b"archive/data.pkl") - 16
    content[at : at + 4] = b"\1\2\3\4"
    file.write_bytes(content)
    assert "posix.system" in refusal(file)


def test_many_are_counted(file: Path) -> None:
    file.write_bytes(pickle.dumps([Calls(getattr(os, name), 1) for name in dir(os) if name.startswith("exec")], 4))
    assert " and 3 more;" in refusal(file)


def test_nothing_unprintable_is_said(file: Path) -> None:
    file.write_bytes(b"\x80\x04\x8c\x05a\x1b[2J\x8c\x02\n\n\x93.")
    assert "it would use a?[2J.??" in refusal(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Invalid argument"),
        (b"<!DOCTYPE html>", "could not parse"),
        (b"7z\xbc\xaf\x27\x1c", "could not parse"),
        (weights()[:-20], "no whole pickle"),
        (legacy(weights()[:-1]), "Error parsing pickle"),
        (b"PK\x03\x04" + bytes(100), "BadZipFile"),
    ],
)
def test_what_cannot_be_read_to_its_end_is_not_clean(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    found = refusal(file)
    assert "cannot be scanned to its end" in found
    assert said in found


def test_an_archive_behind_a_pickle_does_not_hide_it(file: Path, tmp_path: Path) -> None:
    """Torch looks at the first bytes, most readers of archives at the last."""
    behind = archive(tmp_path / "behind", clean_members()).read_bytes()
    file.write_bytes(pickle.dumps(Calls(os.system, "true"), 4) + behind)
    assert "posix.system" in refusal(file)


@pytest.mark.filterwarnings("ignore:Duplicate name")  # that is what it is about
@pytest.mark.parametrize("twin", ["archive/DATA.pkl", "archive/data.PKL", "archive/data.pkl"])
def test_an_archive_with_two_answers_is_refused(file: Path, twin: str) -> None:
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", weights())
        made.writestr(twin, weights())
    assert "two members of the archive have one name" in refusal(file)


def test_a_pickle_under_another_name_in_an_archive(file: Path) -> None:
    assert "not named .pkl" in refusal(archive(file, {"archive/data.PKL": weights()}))
    assert "no whole pickle" in refusal(archive(file, {"archive/version": b"3\n"}))


def test_memory_has_a_bound(file: Path) -> None:
    """A few kilobytes that unfold to more than there is."""
    members = {**clean_members(), "archive/data.pkl": b"\x80\x04" + (b"\x8c\x3c" + bytes(60)) * 1_600_000 + b"."}
    assert "cannot be scanned to its end" in refusal(archive(file, members, packed=True))


def test_it_can_be_stopped(file: Path) -> None:
    stop = Stop()
    archive(file, {**clean_members(), "archive/data.pkl": weights(300_000)})
    thread = threading.Timer(0, stop.ask)
    thread.start()
    with pytest.raises(StoppedError):
        scan(file, "checkpoints/x.ckpt", stop)
    thread.join()
