"""What is recorded of a file, and the key it gets."""

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comfyard.outputs.description import describe
from comfyard.outputs.keys import result_key

UID = "3c8f8a54-6d0c-4a7e-9b57-0d1a5c2b6e11"


def test_a_picture_has_hash_size_type_and_pixels(picture: io.BufferedReader) -> None:
    content = picture.read()
    found = describe(picture, "lamp_00001_.png")
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert (found.bytes, found.content_type) == (len(content), "image/png")
    assert (found.width, found.height) == (48, 32)


def test_a_described_file_is_at_its_beginning(picture: io.BufferedReader) -> None:
    describe(picture, "lamp.png")
    assert picture.tell() == 0


@pytest.mark.parametrize("kind", ["webp", "jpeg", "gif"])
def test_other_pictures_are_known_too(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"lamp.{kind}"
    Image.new("RGB", (7, 5)).save(path)
    with path.open("rb") as file:
        found = describe(file, path.name)
    assert (found.content_type, found.width, found.height) == (f"image/{kind}", 7, 5)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("film.mp4", "video/mp4"),
        ("song.flac", "audio/flac"),
        ("page.html", "application/octet-stream"),
        ("drawing.svg", "application/octet-stream"),
        ("latent", "application/octet-stream"),
    ],
)
def test_what_is_no_picture_has_no_pixels(tmp_path: Path, name: str, content_type: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with (tmp_path / name).open("rb") as file:
        found = describe(file, name)
    assert (found.content_type, found.width, found.height) == (content_type, None, None)


@pytest.mark.parametrize("name", ["film.mp4", "film.webm"])
def test_a_film_has_pixels_too(name: str) -> None:
    with (Path(__file__).parent / "media" / name).open("rb") as file:
        found = describe(file, name)
    assert (found.width, found.height) == (32, 16)


@given(st.binary(max_size=64), st.sampled_from(["a.mp4", "a.mov", "a.webm", "a.mkv", "a.png", "a.webp", "a.tiff"]))
def test_whatever_a_node_has_stored_is_described(content: bytes, name: str) -> None:
    found = describe(as_file(content), name)
    assert (found.bytes, found.width, found.height) == (len(content), None, None)


@given(st.data())
def test_a_film_that_is_cut_is_described(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["film.mp4", "film.webm"]))
    content = (Path(__file__).parent / "media" / name).read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    found = describe(as_file(content[:cut]), name)
    assert (found.width, found.height) in {(32, 16), (None, None)}


def test_a_film_that_lies_about_a_length_is_described() -> None:
    content = bytes.fromhex("b0 01ffffffffffffff ba 81 10")
    assert describe(as_file(content), "a.webm").width is None


def as_file(content: bytes) -> io.BufferedRandom:
    return io.BufferedRandom(io.BytesIO(content))  # type: ignore[arg-type] # as good as a raw file


def test_a_broken_picture_is_stored_without_pixels(tmp_path: Path) -> None:
    (tmp_path / "lamp.png").write_bytes(b"not a picture")
    with (tmp_path / "lamp.png").open("rb") as file:
        assert describe(file, "lamp.png").width is None


def test_a_key_names_job_output_and_index() -> None:
    key = result_key("studio", "lighthouse", UID, "image", 7, None, "9_00001_.PNG")
    assert key == "studio/lighthouse-3c8f8a54/image-007.png"


def test_several_files_of_one_index_are_numbered() -> None:
    key = result_key("studio", "lighthouse", UID, "image", 0, 2, "9_00003_.png")
    assert key == "studio/lighthouse-3c8f8a54/image-000-2.png"


@pytest.mark.parametrize("name", ["noextension", "odd.t/../x", "a.exe;rm", "a.toolongextension"])
def test_an_odd_extension_is_not_taken_over(name: str) -> None:
    assert result_key("studio", "a", UID, "image", 0, None, name).endswith("/image-000.bin")
