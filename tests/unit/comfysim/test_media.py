"""Results that are no still picture."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.comfysim.harness import Client, Sim, node, sd15

MEDIA = Path(__file__).parents[1] / "outputs" / "media"


async def test_an_animation_has_its_frames_and_the_graph(sim: Sim, client: Client) -> None:
    graph = sd15(seed=71)
    graph["5"]["inputs"]["batch_size"] = 3
    how = {"fps": 10.0, "lossless": True, "quality": 80, "method": "fastest"}
    graph["9"] = node("SaveAnimatedWEBP", images=["8", 0], filename_prefix="moving", **how)
    run = await client.run(graph)
    assert run.history["outputs"]["9"]["animated"] == [True]
    with Image.open(sim.output / run.files()[0]) as picture:
        assert (picture.format, getattr(picture, "n_frames", 1)) == ("WEBP", 3)
        assert (
            json.loads(str(picture.getexif()[0x0110]).removeprefix("prompt:"))["9"]["class_type"] == "SaveAnimatedWEBP"
        )


async def test_a_latent_is_a_safetensors_file_with_the_graph(sim: Sim, client: Client) -> None:
    graph = sd15(seed=72)
    graph["9"] = node("SaveLatent", samples=["3", 0], filename_prefix="latents/out")
    run = await client.run(graph)
    [entry] = run.history["outputs"]["9"]["latents"]
    content = (sim.output / entry["subfolder"] / entry["filename"]).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert json.loads(header["__metadata__"]["prompt"])["9"]["class_type"] == "SaveLatent"
    assert header["latent_tensor"]["data_offsets"][1] == len(content) - 8 - length


async def test_a_value_is_shown_as_text_without_a_file(client: Client) -> None:
    run = await client.run({"1": node("PreviewAny", source="a lamp")})
    assert run.history["outputs"] == {"1": {"text": ["a lamp"]}}


@pytest.mark.parametrize(
    ("loader", "name", "saver", "file", "kind"),
    [
        ("LoadVideo", "file", "SaveVideo", "film.mp4", "images"),
        ("LoadAudio", "audio", "SaveAudio", "song.flac", "audio"),
    ],
)
async def test_films_and_sounds_are_passed_on(
    sim: Sim, client: Client, loader: str, name: str, saver: str, file: str, kind: str
) -> None:
    (sim.base / "input" / file).write_bytes((MEDIA / file).read_bytes())
    taken = {"video": ["1", 0], "format": "auto", "codec": "auto"} if saver == "SaveVideo" else {"audio": ["1", 0]}
    graph = {"1": node(loader, **{name: file}), "2": node(saver, filename_prefix="passed", **taken)}
    run = await client.run(graph)
    [entry] = run.history["outputs"]["2"][kind]
    assert (sim.output / entry["filename"]).read_bytes() == (MEDIA / file).read_bytes()


async def test_a_mask_is_one_channel(sim: Sim, client: Client) -> None:
    Image.new("RGBA", (16, 8), (255, 0, 0, 64)).save(sim.base / "input" / "mask.png")
    graph = {
        "1": node("LoadImageMask", image="mask.png", channel="alpha"),
        "2": node("MaskToImage", mask=["1", 0]),
        "9": node("SaveImage", images=["2", 0], filename_prefix="mask"),
    }
    run = await client.run(graph)
    with Image.open(sim.output / run.files()[0]) as picture:
        assert (picture.size, picture.getpixel((0, 0))) == ((16, 8), (191, 191, 191))


async def test_a_blocked_output_is_a_success_without_it(client: Client) -> None:
    await client.misbehave(block=1)
    run = await client.run(sd15(seed=73))
    assert (run.history["status"]["status_str"], run.history["outputs"]) == ("success", {})
    [error] = run.of("execution_error")
    assert (error["exception_type"], "timestamp" in error) == ("ExecutionBlocked", False)
