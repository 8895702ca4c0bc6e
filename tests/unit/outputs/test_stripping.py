"""What ComfyUI embeds into files is taken out, and nothing else.

The films and sounds of media/ were written by PyAV, as ComfyUI's nodes do, with a graph for a prompt: SECRET.
"""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import mutagen
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen.ogg import OggPage
from PIL import Image, ImageSequence
from PIL.PngImagePlugin import PngInfo

from comfyard.outputs.boxes import boxes
from comfyard.outputs.stripping import CannotStripError, strip

MEDIA = Path(__file__).parent / "media"
GRAPH = json.dumps({"6": {"class_type": "CLIPTextEncode", "inputs": {"text": "SECRET lighthouse"}}})


def stripped(content: bytes, name: str) -> bytes:
    target = io.BytesIO()
    strip(io.BytesIO(content), name, target)
    assert target.tell() == 0
    result = target.read()
    assert b"SECRET" not in result
    assert b"class_type" not in result
    return result


def refusal(content: bytes, name: str) -> str:
    with pytest.raises(CannotStripError) as caught:
        strip(io.BytesIO(content), name, io.BytesIO())
    return str(caught.value)


def frames(content: bytes) -> list[bytes]:
    with Image.open(io.BytesIO(content)) as image:
        return [frame.convert("RGBA").tobytes() for frame in ImageSequence.Iterator(image)]


def picture(seed: int = 0) -> Image.Image:
    return Image.frombytes("RGB", (24, 16), bytes((i * i + seed * 37) % 251 for i in range(24 * 16 * 3)))


def saved(form: str, image: Image.Image | None = None, **how: Any) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, form, **how)
    return file.getvalue()


def exif() -> Image.Exif:
    """As ComfyUI writes it into WebP."""
    found = picture().getexif()
    found[0x0110] = f"prompt:{GRAPH}"
    found[0x010F] = f"workflow:{GRAPH}"
    return found


def png(**how: Any) -> bytes:
    info = PngInfo()
    info.add_text("prompt", GRAPH)
    info.add_text("workflow", GRAPH, zip=True)
    info.add_itxt("parameters", GRAPH)
    info.add(b"comf", b"prompt\0" + GRAPH.encode(), after_idat=True)  # SaveAnimatedPNG
    return saved("PNG", pnginfo=info, exif=exif(), dpi=(72, 72), **how)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("still.png", png()),
        ("moving.png", png(save_all=True, append_images=[picture(1), picture(2)], duration=100)),
        ("still.webp", saved("WEBP", exif=exif(), xmp=GRAPH.encode())),
        ("lossless.WEBP", saved("WEBP", lossless=True, exif=exif())),
        ("moving.webp", saved("WEBP", save_all=True, append_images=[picture(1)], exif=exif())),
        ("still.jpg", saved("JPEG", exif=exif(), comment=GRAPH.encode())),
        ("progressive.jpeg", saved("JPEG", exif=exif(), comment=GRAPH.encode(), progressive=True, quality=95)),
        ("printed.jpg", saved("JPEG", picture().convert("CMYK"), exif=exif())),
        ("still.gif", saved("GIF", comment=GRAPH.encode())),
        ("moving.gif", saved("GIF", save_all=True, append_images=[picture(1)], comment=GRAPH.encode(), loop=0)),
    ],
)
def test_a_picture_keeps_every_pixel(name: str, content: bytes) -> None:
    assert b"SECRET" in content
    assert frames(stripped(content, name)) == frames(content)


def test_what_a_viewer_needs_of_a_png_stays() -> None:
    profile = b"a colour profile" * 8
    content = png(icc_profile=profile)
    with Image.open(io.BytesIO(stripped(content, "a.png"))) as image:
        image.verify()
        assert image.info["icc_profile"] == profile
        assert image.info["dpi"] == pytest.approx((72, 72), abs=0.1)
        assert image.info.keys() <= {"icc_profile", "dpi"}


def test_what_is_glued_to_the_end_of_a_picture_goes() -> None:
    for name, form in (("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.gif", "GIF")):
        assert stripped(saved(form) + GRAPH.encode(), name) == stripped(saved(form), name)


def test_a_stripped_webp_says_so_in_its_header() -> None:
    content = stripped(saved("WEBP", exif=exif(), xmp=b"x" * 11), "a.webp")
    assert struct.unpack("<I", content[4:8])[0] == len(content) - 8
    with Image.open(io.BytesIO(content)) as image:
        assert not image.getexif()


def test_a_gif_still_loops() -> None:
    content = saved("GIF", save_all=True, append_images=[picture(1)], comment=GRAPH.encode(), loop=3)
    with Image.open(io.BytesIO(stripped(content, "a.gif"))) as image:
        assert image.info["loop"] == 3


def test_a_film_keeps_every_byte_of_its_tracks_and_their_place() -> None:
    content = (MEDIA / "film.mp4").read_bytes()
    result = stripped(content, "film.mp4")
    assert len(result) == len(content)
    kinds = {}
    for box in boxes(io.BytesIO(content), 0, len(content)):
        kinds[box.kind] = (content[box.content : box.end], result[box.content : box.end])
    assert kinds[b"mdat"][0] == kinds[b"mdat"][1]
    assert len(kinds[b"mdat"][0]) > 500
    before, after = kinds[b"moov"]
    changed = before.index(b"udta")
    assert (after[:changed], after[changed : changed + 4]) == (before[:changed], b"free")
    assert not after[changed + 4 :].strip(b"\0")


@pytest.mark.parametrize("name", ["song.flac", "song.mp3"])
def test_a_sound_keeps_its_frames(name: str) -> None:
    content = (MEDIA / name).read_bytes()
    result = stripped(content, name)
    begin = result.index(b"\xff\xf8" if name.endswith("flac") else b"\xff\xfb")
    assert content.endswith(result[begin:])
    assert len(result) - begin > 600
    assert not mutagen.File(io.BytesIO(result)).tags


def test_an_opus_sound_keeps_its_packets() -> None:
    content = (MEDIA / "song.opus").read_bytes()
    result = stripped(content, "song.opus")
    assert len(result) == len(content)
    assert not mutagen.File(io.BytesIO(result)).tags
    before, after = packets(content), packets(result)
    assert (before[0], before[2:]) == (after[0], after[2:])
    assert len(before) > 5


def packets(content: bytes) -> list[bytes]:
    """The packets of an Ogg file, whose checksums are right."""
    file, pages = io.BytesIO(content), []
    while file.tell() < len(content):
        pages.append(OggPage(file))  # type: ignore[no-untyped-call] # mutagen's types have gaps
    assert b"".join(page.write() for page in pages) == content  # type: ignore[no-untyped-call]
    return list(OggPage.to_packets(pages))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", ["song.mp3", "song.flac"])
def test_tags_at_either_end_of_a_sound_go(name: str) -> None:
    content = (MEDIA / name).read_bytes()
    id3 = b"ID3\4\0\0" + bytes([0, 0, 1, 2]) + b"SECRET".ljust(130)
    tagged = id3 + content
    if name.endswith("mp3"):
        item = struct.pack("<II", 6, 0) + b"prompt\0SECRET"
        footer = struct.pack("<8sIIII8s", b"APETAGEX", 2000, len(item) + 32, 1, 0, bytes(8))
        tagged += item + footer + b"TAG" + b"SECRET".ljust(125)
    assert stripped(tagged, name) == stripped(content, name)


def test_a_sound_with_more_comments_than_one_page_holds_keeps_its_packets() -> None:
    tagged = io.BytesIO((MEDIA / "song.opus").read_bytes())
    song = mutagen.File(tagged)
    song["prompt"] = GRAPH * 3000
    tagged.seek(0)
    song.save(tagged)
    content = tagged.getvalue()
    before, after = packets(content), packets(stripped(content, "song.opus"))
    assert len(before[1]) > 2 * 65025
    assert (before[0], before[2:]) == (after[0], after[2:])


def test_a_wave_keeps_its_samples() -> None:
    samples = bytes(range(256))
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    notes = b"LIST" + struct.pack("<I", 4 + 8 + 8) + b"INFOICMT" + struct.pack("<I", 7) + b"SECRET\0" + b"\0"
    content = b"WAVE" + form + notes + b"data" + struct.pack("<I", 256) + samples
    result = stripped(b"RIFF" + struct.pack("<I", len(content)) + content, "a.wav")
    assert result == b"RIFF" + struct.pack("<I", len(result) - 8) + b"WAVE" + form + b"data\0\1\0\0" + samples


def test_a_latent_keeps_its_tensors() -> None:
    tensors = {"latent_tensor": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    header = json.dumps({"__metadata__": {"prompt": GRAPH, "format": "pt"}, **tensors}).encode()
    result = stripped(struct.pack("<Q", len(header)) + header + bytes(range(16)), "a.latent")
    (length,) = struct.unpack("<Q", result[:8])
    assert json.loads(result[8 : 8 + length]) == {"__metadata__": {"format": "pt"}, **tensors}
    assert (length % 8, result[8 + length :]) == (0, bytes(range(16)))


def test_a_mesh_keeps_its_points() -> None:
    about = {"asset": {"version": "2.0", "extras": {"prompt": GRAPH}}, "buffers": [{"byteLength": 8}]}
    text = json.dumps(about).encode()
    text += b" " * (-len(text) % 4)
    points = struct.pack("<I4s", 8, b"BIN\0") + bytes(range(8))
    size = 20 + len(text) + len(points)
    result = stripped(struct.pack("<4sIII4s", b"glTF", 2, size, len(text), b"JSON") + text + points, "a.glb")
    _, _, whole, length, _ = struct.unpack("<4sIII4s", result[:20])
    assert (whole, result[20 + length :]) == (len(result), points)
    assert json.loads(result[20 : 20 + length]) == {"asset": {"version": "2.0"}, "buffers": [{"byteLength": 8}]}


@pytest.mark.parametrize("name", ["a.txt", "a.json"])
def test_plain_text_is_what_the_node_made(name: str) -> None:
    target = io.BytesIO()
    strip(io.BytesIO(b"a lamp"), name, target)
    assert target.read() == b"a lamp"


@pytest.mark.parametrize("name", ["film.webm", "drawing.svg", "noextension"])
def test_a_format_that_cannot_be_stripped_is_refused_with_the_fix(name: str) -> None:
    said = refusal((MEDIA / "film.webm").read_bytes(), name)
    assert "order with output.metadata: Embed, or let the template save another format (flac, gif, glb," in said


@pytest.mark.parametrize(
    "name", ["a.png", "a.webp", "a.jpg", "a.gif", "a.mp4", "a.flac", "a.opus", "a.wav", "a.latent", "a.glb"]
)
@pytest.mark.parametrize("content", [b"", b"SECRET, and no such file at all", b"\xff" * 64])
def test_what_is_not_of_its_format_is_refused(name: str, content: bytes) -> None:
    assert "this is no sound ." in refusal(content, name)


@given(st.data())
def test_a_cut_picture_is_refused_and_never_passed_on(data: st.DataObject) -> None:
    name, form = data.draw(st.sampled_from([("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.gif", "GIF"), ("a.webp", "WEBP")]))
    content = saved(form)
    cut = data.draw(st.integers(0, len(content) - 2))
    refusal(content[:cut], name)


def test_a_png_that_lies_about_a_length_is_refused() -> None:
    chunk = struct.pack(">I4s", 2**31 - 1, b"IDAT") + b"x"
    refusal(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(chunk)), "a.png")
