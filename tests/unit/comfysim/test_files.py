from __future__ import annotations

import io
import json
from typing import Any

import aiohttp
import pytest
from PIL import Image

from tests.unit.comfysim.harness import Client, Sim


def png(colour: str = "red", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (4, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


async def upload(
    client: Client, name: str, content: bytes, path: str = "/upload/image", **fields: str
) -> tuple[int, Any]:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("image", content, filename=name, content_type="image/png")
    for key, value in fields.items():
        form.add_field(key, value)
    async with client.session.post(path, data=form) as response:
        text = await response.text()
        return response.status, json.loads(text) if response.content_type == "application/json" else text


async def status_of(client: Client, path: str, **headers: str) -> int:
    async with client.session.get(path, headers=headers) as response:
        return response.status


async def test_an_upload_lands_in_the_input_directory(sim: Sim, client: Client) -> None:
    status, answer = await upload(client, "new.png", png(), subfolder="job-1")
    assert (status, answer) == (200, {"name": "new.png", "subfolder": "job-1", "type": "input"})
    assert (sim.base / "input" / "job-1" / "new.png").read_bytes() == png()


async def test_the_same_bytes_keep_their_name_and_others_get_a_new_one(client: Client) -> None:
    names = [(await upload(client, "taken.png", png(colour)))[1]["name"] for colour in ("red", "red", "blue")]
    assert names == ["taken.png", "taken.png", "taken (1).png"]


async def test_an_upload_can_overwrite(sim: Sim, client: Client) -> None:
    await upload(client, "over.png", png("red"))
    _, answer = await upload(client, "over.png", png("blue"), overwrite="true")
    assert answer["name"] == "over.png"
    assert (sim.base / "input" / "over.png").read_bytes() == png("blue")


@pytest.mark.parametrize(
    ("name", "fields", "status"),
    [
        ("../x.png", {}, 400),
        ("x.png", {"subfolder": "../.."}, 400),
        ("x.png", {"type": "elsewhere"}, 500),
        ("missing/x.png", {}, 500),
    ],
)
async def test_uploads_that_fail(client: Client, name: str, fields: dict[str, str], status: int) -> None:
    assert (await upload(client, name, png(), **fields))[0] == status


async def test_a_mask_becomes_the_alpha_of_its_original(sim: Sim, client: Client) -> None:
    await upload(client, "original.png", png("red"))
    reference = json.dumps({"filename": "original.png", "type": "input"})
    mask = png("#00000080", "RGBA")
    await upload(client, "masked.png", mask, "/upload/mask", original_ref=reference)
    with Image.open(sim.base / "input" / "masked.png") as picture:
        assert picture.getpixel((0, 0)) == (255, 0, 0, 128)


async def test_a_mask_without_an_original_answers_200_and_writes_nothing(sim: Sim, client: Client) -> None:
    reference = json.dumps({"filename": "none.png", "type": "input"})
    status, _ = await upload(client, "nothing.png", png(), "/upload/mask", original_ref=reference)
    assert status == 200
    assert not (sim.base / "input" / "nothing.png").exists()


async def test_a_body_above_the_limit_is_413(other: Sim) -> None:
    async with Client(other) as client:
        answer = await client.post("/prompt", {"prompt": "x" * 20_000})
    assert answer == (413, "Maximum request body size 10486 exceeded.")


@pytest.fixture
def picture(sim: Sim) -> str:
    folder = sim.output / "seen"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.png").write_bytes(png())
    return "/view?filename=a.png&subfolder=seen"


async def test_a_picture_can_be_read(client: Client, picture: str) -> None:
    async with client.session.get(picture) as response:
        assert (response.status, response.content_type) == (200, "image/png")
        assert await response.read() == png()


async def test_a_picture_can_be_asked_about(client: Client, picture: str) -> None:
    async with client.session.head(picture) as response:
        assert (response.status, response.content_length) == (200, len(png()))
        assert "Last-Modified" in response.headers
        etag = response.headers["ETag"]
    assert await status_of(client, picture, **{"If-None-Match": etag}) == 304


async def test_a_part_of_a_picture_can_be_read(client: Client, picture: str) -> None:
    async with client.session.get(picture, headers={"Range": "bytes=1-3"}) as response:
        assert (response.status, await response.read()) == (206, b"PNG")
    assert await status_of(client, picture, Range="bytes=9999-") == 416


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("filename=a.png&subfolder=seen&type=output", 200),
        ("filename=seen/a.png", 404),
        ("filename=none.png", 404),
        ("filename=", 400),
        ("filename=/etc/passwd", 400),
        ("filename=..", 400),
        ("filename=a.png&type=elsewhere", 400),
        ("filename=a.png&subfolder=../..", 403),
    ],
)
@pytest.mark.usefixtures("picture")
async def test_what_view_answers(client: Client, query: str, status: int) -> None:
    assert await status_of(client, f"/view?{query}") == status
    assert await status_of(client, f"/api/view?{query}") == status


async def test_an_annotated_name_overrides_the_type(client: Client) -> None:
    await upload(client, "note.png", png())
    assert await status_of(client, "/view?filename=note.png [input]&type=temp") == 200


@pytest.mark.parametrize(("preview", "kind"), [("webp;50", "image/webp"), ("jpeg;80", "image/jpeg")])
async def test_a_smaller_encoding_can_be_asked_for(client: Client, picture: str, preview: str, kind: str) -> None:
    async with client.session.get(f"{picture}&preview={preview}") as response:
        assert (response.status, response.content_type) == (200, kind)
        assert Image.open(io.BytesIO(await response.read())).size == (4, 4)


@pytest.mark.parametrize("channel", ["rgb", "a"])
async def test_a_channel_can_be_asked_for(client: Client, picture: str, channel: str) -> None:
    async with client.session.get(f"{picture}&channel={channel}") as response:
        assert Image.open(io.BytesIO(await response.read())).mode == {"rgb": "RGB", "a": "RGBA"}[channel]


async def test_active_content_is_only_bytes(sim: Sim, client: Client) -> None:
    (sim.base / "input" / "page.html").write_text("<script>")
    async with client.session.get("/view?filename=page.html&type=input") as response:
        assert response.content_type == "application/octet-stream"
