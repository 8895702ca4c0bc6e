"""Small decisions: room, waits, the shape of safetensors."""

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfyard.store.contents.safetensors import is_safetensors, read
from comfyard.store.errors import NotASafetensorsError
from comfyard.store.retry import Backoff
from comfyard.store.transfer.space import lacking
from tests.unit.store.source_server import safetensors


def test_room_that_is_promised_is_not_free() -> None:
    assert lacking(free=100, promised=0, needed=90, margin=10) == 0
    assert lacking(free=100, promised=30, needed=90, margin=10) == 30


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1e9), st.floats(0, 1))
def test_waits_have_bounds(failures: int, asked: float | None, jitter: float) -> None:
    backoff = Backoff()
    delay = backoff.delay(failures, asked, jitter)
    assert backoff.first * 0.75 <= delay <= max(backoff.most, backoff.most_asked)
    assert delay >= min(asked or 0, backoff.most_asked)


def test_waits_double() -> None:
    assert [Backoff().delay(n, None, 0) for n in (1, 2, 3, 7)] == [1, 2, 4, 60]


def built(header: dict[str, Any] | bytes, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(first: int, last: int, dtype: str = "U8", shape: list[Any] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [last - first] if shape is None else shape, "data_offsets": [first, last]}


def judge(content: bytes) -> None:
    read(io.BytesIO(content), len(content))


@pytest.mark.parametrize(
    "content",
    [
        built({}),
        built({"a": tensor(0, 4), "b": tensor(4, 8, "F32", [1])}, bytes(8)),
        built({"b": tensor(4, 8), "a": tensor(0, 4), "empty": tensor(4, 4, shape=[0, 7])}, bytes(8)),
        built(json.dumps({"scalar": tensor(0, 2, "BF16", [])}).encode() + b"   ", bytes(2)),
        built({"packed": tensor(0, 3, "F6_E2M3", [4])}, bytes(3)),
        built({"of tomorrow": tensor(0, 5, "F3_NEW", [9])}, bytes(5)),
        safetensors(1000),
    ],
)
def test_well_formed(content: bytes) -> None:
    judge(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (bytes(4), "empty or zeros"),
        (b"<!DOCTYPE html><html>sign in</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git-lfs"),
        (bytes(1000), "not JSON"),
        (b"\xff" * 100, "something else"),
        (built(b"[]"), "not JSON"),
        (built(b"{"), "broken"),
        (built(b'{"a": 1, "a": 2}'), "twice"),
        (built({"a": tensor(0, 4)}, bytes(3)), "has 3 for them"),
        (built({"a": tensor(0, 4)}, bytes(5)), "has 5 for them"),
        (built({"a": tensor(0, 4), "b": tensor(2, 6)}, bytes(6)), "or to two"),
        (built({"a": tensor(0, 4), "b": tensor(5, 8)}, bytes(8)), "no tensor"),
        (built({"a": tensor(0, 4, "F32", [2])}, bytes(4)), "do not fit"),
        (built({"a": tensor(0, 4, "F32", [-1, -1])}, bytes(4)), "do not fit"),
        (built({"a": tensor(0, 4, "nonsense!", [4])}, bytes(4)), "do not fit"),
        (built({"a": {"dtype": "U8", "shape": [4]}}, bytes(4)), "do not fit"),
        (built({"a": tensor(0, 4, "F32", [True])}, bytes(4)), "do not fit"),
        (built({"a": {"dtype": "U8", "shape": [1], "data_offsets": [False, True]}}, bytes(1)), "do not fit"),
        (built({"a": tensor(0, 0, "U8", [2**64, 0])}), "do not fit"),
        (built({"a": tensor(0, 4, "U8", [2] * 1_000_000)}, bytes(4)), "do not fit"),
        (built({"a": 5}), "do not fit"),
        (built({"__metadata__": {"step": 5}}), "not made of texts"),
        (built({"__metadata__": "text"}), "not made of texts"),
        (built('{"é": 5}'.encode("latin-1")), "broken"),
        (built("{}".encode("utf-16-le")), "broken"),
        (built(b'{"a":' * 100_000), "broken"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, said: str) -> None:
    with pytest.raises(NotASafetensorsError, match=said):
        judge(content)


@given(st.data())
@settings(max_examples=100)
def test_no_truncation_passes(data: st.DataObject) -> None:
    content = safetensors(500)
    with pytest.raises(NotASafetensorsError):
        judge(content[: data.draw(st.integers(0, len(content) - 1))])


@given(st.binary(max_size=200))
def test_nothing_else_is_raised(content: bytes) -> None:
    try:
        judge(content)
    except NotASafetensorsError:
        return


def test_names() -> None:
    assert [is_safetensors(path) for path in ("a/x.safetensors", "a/X.SFT", "a/x.pth")] == [True, True, False]
